from __future__ import annotations

import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from copy import deepcopy
from multiprocessing import get_context, resource_tracker
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
import pytest
from elsewhere import (
    Batches,
    Echo,
    EchoError,
    Foreign,
    Gathered,
    HoldsTheInterpreter,
    Lines,
    Locked,
    LockedError,
    Marking,
    Meeting,
    Modules,
    NeverOpened,
    NoFile,
    NoFileError,
    NotImportedError,
    NotParsedError,
    NotTextError,
    Numbers,
    OnlyHere,
    Peculiar,
    PeculiarError,
    PeculiarHere,
    Ragged,
    Repeated,
    Rotating,
    SlottedError,
    Stuck,
    Unprintable,
    Wide,
    as_words,
    first,
    platforms,
    returns_a_lock,
    unopenable,
    with_descriptors,
)
from loadax_core import ClosedError, DataLoader, PadBatcher, StackError, WorkerError
from loadax_core.backends.pickling import pack, unpack
from loadax_core.backends.spawned import END_SECONDS
from loadax_core.errors import add_note, copied
from loadax_core.memory.pool import MOST_IDLE
from loadax_core.memory.segments import LEAST_SHARED
from loadax_core.run.window import Window
from loadax_core.testing import check_loader, check_same

FOREVER = 20.0


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def children() -> set[int]:
    """The processes that this one has started and that still run."""
    listed = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return {int(line.split()[0]) for line in listed.stdout.splitlines() if "ps" not in line.split()[1:]}


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    # Executors start it, and it stays.
    resource_tracker.ensure_running()
    names, running = shared_memory(), children()
    yield
    gc.collect()
    # Other programs on this machine have memory of that kind too, for a moment; what is left behind stays.
    deadline = perf_counter() + FOREVER
    while (children() - running or shared_memory() - names) and perf_counter() < deadline:
        sleep(0.01)
    assert children() <= running
    assert shared_memory() <= names


def wait_for(folder: Path) -> int:
    """The process that has got stuck."""
    deadline = perf_counter() + FOREVER
    while perf_counter() < deadline:
        for path in folder.iterdir():
            if not path.suffix:
                return int(path.name)
        sleep(0.005)
    raise AssertionError("nobody got stuck")


@pytest.mark.parametrize(
    ("dataset", "batcher"),
    [
        (Numbers(23), None),
        (Gathered(23), None),
        (Rotating(23), None),
        (Wide(23), None),
        (np.arange(23 * 5000, dtype=np.float32).reshape(23, 5000), None),
        ([np.arange(n % 4 * 9000) for n in range(23)], PadBatcher()),
        (Numbers(23), Batches()),
        ([{"text": "x" * n, "none": None} for n in range(23)], None),
    ],
)
def test_processes_load_what_the_caller_would(dataset: Any, batcher: Any) -> None:
    builder = DataLoader(batcher) if batcher else DataLoader()
    builder = builder.batch_size(5).epochs(2)
    loaded = list(builder.workers(3, kind="process").prefetch(2).build(dataset))
    expected = list(builder.build(dataset))
    assert len(loaded) == len(expected) == 10
    for batch, other in zip(loaded, expected, strict=True):
        if isinstance(batcher, Batches):
            assert batch.pop("set") == other.pop("set")
        check_same(batch, other)


def test_the_contract_of_iterators_holds() -> None:
    check_loader(DataLoader().batch_size(4).workers(1, kind="process").prefetch(3).build(Numbers(7)))


def test_several_processes_work_at_once_and_they_are_others(tmp_path: Path) -> None:
    loader = DataLoader().workers(2, kind="process").timeout(FOREVER).build(Meeting(4, tmp_path))
    pids = {int(batch[0]) for batch in loader}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_slow_items_of_one_batch_are_shared() -> None:
    """Four processes, and one batch at a time: they can only share its items."""
    loader = DataLoader().batch_size(8).workers(4, kind="process").prefetch(1).build(Wide(48, slow=0.05))
    batches = iter(loader)
    next(batches)
    began = perf_counter()
    rest = list(batches)
    assert perf_counter() - began < 0.6 * 40 * 0.05
    assert [batch["row"].tolist() for batch in rest] == [list(range(n, n + 8)) for n in range(8, 48, 8)]


def test_tasks_and_answers_that_no_socket_holds_do_not_block_each_other() -> None:
    """A task is sent ahead while the answer to the last one is on its way; neither side may wait for the other."""

    class Scattered:
        """A sharding strategy whose rows are sent one by one."""

        def local_rows(self, batch_size: int, /) -> Any:
            return np.arange(batch_size)

        def distribute_global_batch(self, local_batch: Any, /) -> Any:
            return local_batch

    each = 50_000
    chain = DataLoader(as_words).batch_size(each).workers(1, kind="process").prefetch(6).shard(Scattered())
    loader = chain.build(Numbers(8 * each))
    for step, words in enumerate(loader):
        assert (len(words), words[0], words[-1]) == (each, f"row {step * each}", f"row {(step + 1) * each - 1}")


def test_large_arrays_are_shared_and_stay_as_they_are() -> None:
    """The memory of a batch is filled again only when nothing refers to it any more."""
    loader = DataLoader().batch_size(8).workers(1, kind="process").prefetch(1).build(Wide(400))
    held: list[Any] = []
    addresses: set[int] = set()
    for batch in loader:
        assert batch["x"].nbytes > LEAST_SHARED
        addresses.add(batch["x"].ctypes.data)
        assert batch["x"].ctypes.data % 64 == 0
        assert batch["x"].flags.writeable
        if len(held) < 5:
            held.append(batch["x"][2:4, ::7])
        batch["x"][:] += 0
    for step, part in enumerate(held):
        np.testing.assert_array_equal(part[:, 0], [8 * step + 2, 8 * step + 3])
        np.testing.assert_array_equal(part, np.broadcast_to(part[:, :1], part.shape))
    assert len(addresses) <= 5 + 4


def test_memory_that_was_sent_several_times_is_filled_again_when_nobody_sees_it() -> None:
    loader = DataLoader().batch_size(5).workers(1, kind="process").prefetch(1).build(Repeated(200))
    held: list[Any] = []
    for step, batch in enumerate(loader):
        if step % 4 == 3:
            held.append(batch)
        del batch
    assert [np.unique(batch).tolist() for batch in held] == [[number] for number in range(10)]


def test_ever_larger_batches_do_not_keep_the_memory_of_all_before() -> None:
    """What is idle is unmapped, here and there, once it is more than a pool would keep."""
    mib = 1 << 20
    ragged = [np.zeros(n * mib, np.uint8) for n in range(1, 40)]
    with iter(DataLoader(first).workers(1, kind="process").prefetch(1).build(ragged)) as batches:
        assert [len(batch) // mib for batch in batches] == list(range(1, 40))
        window = batches._source
        assert isinstance(window, Window)
        (worker,) = window._team.workers
        mapped: Any = worker.engine
        assert sum(memory.array.nbytes for memory in mapped._mapped._memory.values()) < MOST_IDLE + 4 * 41 * mib


def descriptors(process: int | str) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors as Linux shows them")
def test_sharing_memory_leaves_no_descriptors_open() -> None:
    """Ever larger batches need ever more memory, which holds a descriptor only while it is sent."""
    ragged = [np.zeros(LEAST_SHARED * n, np.uint8) for n in range(1, 40)]
    before = descriptors("self")
    with iter(DataLoader(with_descriptors).workers(1, kind="process").prefetch(1).build(ragged)) as batches:
        first, *rest = batches
        made = rest[-1]["open"] - first["open"]
        assert [len(batch["item"]) for batch in rest] == [len(row) for row in ragged[1:]]
    assert made <= 1
    del first, rest
    del batches
    gc.collect()
    assert descriptors("self") <= before + 1  # the dataset's own, as long as the loader


def test_ctrl_c_is_the_parents_business(tmp_path: Path) -> None:
    program = f"""
        import sys
        sys.path.append({str(Path(__file__).parent / "importable")!r})
        from pathlib import Path
        from elsewhere import Stuck
        from loadax_core import DataLoader
        batches = iter(DataLoader().batch_size(2).workers(2, kind="process").build(Stuck(12, Path({str(tmp_path)!r}))))
        try:
            for batch in batches:
                print(batch, flush=True)
        except KeyboardInterrupt:
            print("interrupted")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **streams, text=True, start_new_session=True) as parent:
        wait_for(tmp_path)
        assert parent.stdout is not None
        assert [parent.stdout.readline() for _ in range(2)] == ["[0 1]\n", "[2 3]\n"]
        os.killpg(parent.pid, signal.SIGINT)
        output, errors = parent.communicate(timeout=FOREVER)
    assert (output, errors, parent.returncode) == ("interrupted\n", "", 0)


def test_a_process_changes_only_its_own_dataset() -> None:
    dataset = Marking()
    loader = DataLoader().batch_size(6).workers(1, kind="process").prefetch(0).build(dataset)
    assert [batch.tolist() for _ in range(2) for batch in loader] == 2 * [[1, 2, 3, 4, 5, 6]]
    assert dataset.data[0] == 0


def test_closing_while_a_process_is_being_started_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    running = children()
    start: Any = subprocess.Popen
    batches = iter(DataLoader().workers(1, kind="process").build(NeverOpened(4)))

    def closing(*command: Any, **options: Any) -> Any:
        batches.close()
        return start(*command, **options)

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", closing)
        with pytest.raises(ClosedError):
            next(batches)
    deadline = perf_counter() + FOREVER
    while threading.active_count() > 1 and perf_counter() < deadline:
        sleep(0.005)
    assert children() <= running


def test_batches_outlive_their_process() -> None:
    with iter(DataLoader().batch_size(8).workers(1, kind="process").build(Wide(16))) as batches:
        first = next(batches)
    gc.collect()
    np.testing.assert_array_equal(first["x"][:, -1], np.arange(8))


@pytest.mark.parametrize("kind", [Numbers, Gathered])
def test_an_error_arrives_at_its_step_with_its_remote_traceback(kind: type[Numbers]) -> None:
    batches = iter(
        DataLoader().batch_size(3).workers(2, kind="process").build(kind(12, {7: OSError(5, "broken disk")}))
    )
    assert [next(batches).tolist(), next(batches).tolist()] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(OSError, match="broken disk") as caught:
        next(batches)
    assert caught.value.errno == 5
    assert caught.value.__notes__ == [
        "loadax: raised by row 7",
        "loadax: while reading the batch of epoch 0, step 2",
    ]
    assert "elsewhere.py" in str(caught.value.__cause__)
    assert "raise self.errors[row]" in str(caught.value.__cause__)


def test_an_error_that_pickle_could_not_make_again_arrives_as_it_is() -> None:
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(PeculiarError("x", 1)))
    with pytest.raises(PeculiarError, match="broken at 0") as caught:
        next(iter(DataLoader().batch_size(3).workers(1, kind="process").build(Peculiar(12))))
    assert (str(caught.value), caught.value.where) == ("broken at 0", 0)
    assert caught.value.__notes__[0] == "loadax: raised by row 0"


def test_an_error_of_opening_the_dataset_arrives_as_it_is() -> None:
    batches = iter(DataLoader().batch_size(3).workers(1, kind="process").build(PeculiarHere(12)))
    for _ in range(2):
        with pytest.raises(PeculiarError, match="no such mount at 12") as caught:
            next(batches)
        assert caught.value.__notes__ == [
            "loadax: while starting a worker process for the batch of epoch 0, step 0",
        ]
        assert "in peculiar_in" in str(caught.value.__cause__)


def test_an_error_that_pickle_would_change_arrives_as_it_is() -> None:
    assert str(pickle.loads(pickle.dumps(EchoError(0)))) == "broken: broken: 0"
    with pytest.raises(EchoError) as caught:
        next(iter(DataLoader().workers(1, kind="process").build(Echo(2))))
    assert str(caught.value) == "broken: 0"


def sent(error: BaseException) -> BaseException:
    return unpack(pack(error))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (NoFileError, ["errno", "strerror", "filename"]),
        (NotTextError, ["encoding", "object", "start", "end", "reason"]),
        (NotParsedError, ["msg", "filename", "lineno", "offset", "text"]),
        (NotImportedError, ["msg", "name", "path"]),
        (SlottedError, ["code"]),
    ],
)
@pytest.mark.parametrize("again", [copied, sent])
def test_what_an_error_keeps_beside_its_arguments_is_made_again(again: Any, kind: Any, names: list[str]) -> None:
    error = kind("here")
    error.added = 1
    new = again(error)
    assert new is not error
    assert (type(new), str(new), new.args) == (kind, str(error), error.args)
    assert [getattr(new, name) for name in [*names, "added"]] == [getattr(error, name) for name in [*names, "added"]]


def test_an_error_that_says_what_it_says_by_attributes_arrives_as_it_is() -> None:
    with pytest.raises(NoFileError, match=r"\[Errno 2\] no shard: '/data/shard'") as caught:
        next(iter(DataLoader().workers(1, kind="process").build(NoFile(2))))
    assert caught.value.filename == "/data/shard"


def test_an_error_that_cannot_be_sent_still_arrives() -> None:
    with pytest.raises(
        WorkerError, match=r"elsewhere\.LockedError: broken at 0 \(pickle cannot send an error of this type\)"
    ) as caught:
        next(iter(DataLoader().batch_size(3).workers(1, kind="process").build(Locked(12))))
    assert caught.value.__notes__[0] == "loadax: raised by row 0"


def test_notes_arrive_with_errors_that_forget_them() -> None:
    forgetful = json.JSONDecodeError("broken", "{", 1)
    add_note(forgetful, "a note")
    assert not hasattr(pickle.loads(pickle.dumps(forgetful)), "__notes__")
    with pytest.raises(json.JSONDecodeError, match="Expecting") as caught:
        next(iter(DataLoader().batch_size(3).workers(1, kind="process").build(Lines(3))))
    assert caught.value.__notes__ == ["loadax: raised by row 1", "loadax: while reading the batch of epoch 0, step 0"]
    with pytest.raises(StackError) as caught, ProcessPoolExecutor(1, get_context("spawn")) as executor:
        next(iter(DataLoader().batch_size(3).workers(executor).build(Ragged(3))))
    assert caught.value.__notes__[0] == "loadax: item 0 is row 0, item 1 is row 1"


def test_an_error_that_cannot_be_shown_still_arrives() -> None:
    batches = iter(DataLoader().batch_size(3).workers(1, kind="process").build(Unprintable(12)))
    with pytest.raises(WorkerError, match=r"UnprintableError: \(its message cannot be shown: LookupError\)") as caught:
        next(batches)
    assert caught.value.__notes__[0] == "loadax: raised by row 0"


def test_an_error_in_the_batcher_names_its_stage() -> None:
    ragged = [np.zeros(2), np.zeros(3)]
    with pytest.raises(ValueError, match=r"item 0 has shape \(2,\) but item 1 has shape \(3,\)") as caught:
        next(iter(DataLoader().batch_size(2).workers(1, kind="process").build(ragged)))
    assert caught.value.__notes__[-1] == "loadax: while batching the batch of epoch 0, step 0"


def test_a_batch_that_cannot_be_sent_is_an_error() -> None:
    batches = iter(DataLoader(returns_a_lock).workers(1, kind="process").build(Numbers(3)))
    with pytest.raises(TypeError, match="cannot pickle") as caught:
        next(batches)
    assert caught.value.__notes__[-1] == "loadax: while sending the batch of epoch 0, step 0"


def test_a_batch_that_cannot_be_received_is_an_error() -> None:
    batches = iter(DataLoader(unopenable).workers(1, kind="process").build(Numbers(3)))
    with pytest.raises(LookupError, match="not here") as caught:
        next(batches)
    assert caught.value.__notes__ == ["loadax: while receiving the batch of epoch 0, step 0"]


@pytest.mark.parametrize(
    ("how", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGTERM, "SIGTERM"), (signal.SIGRTMIN + 1, "signal 35")]
)
@pytest.mark.parametrize("prefetch", [2, 8])
def test_a_process_that_is_killed_is_an_error_at_once(how: int, name: str, prefetch: int, tmp_path: Path) -> None:
    loader = DataLoader().batch_size(4).workers(1, kind="process").prefetch(prefetch).build(Stuck(60, tmp_path))
    batches = iter(loader)
    assert next(batches).tolist() == [0, 1, 2, 3]
    victim = wait_for(tmp_path)
    threading.Timer(0.2, os.kill, (victim, how)).start()
    began = perf_counter()
    with pytest.raises(
        WorkerError, match=rf"worker process {victim} was killed by {name}.* read rows 4 to 7"
    ) as caught:
        next(batches)
    assert perf_counter() - began < 5
    assert caught.value.__notes__[-1] == "loadax: while reading the batch of epoch 0, step 1"


@pytest.mark.parametrize("how", ["close", "drop"])
def test_stuck_processes_end_with_the_iterator(how: str, tmp_path: Path) -> None:
    running = children()
    batches = iter(DataLoader().batch_size(2).workers(2, kind="process").prefetch(4).build(Stuck(12, tmp_path)))
    next(batches)
    wait_for(tmp_path)
    began = perf_counter()
    if how == "close":
        batches.close()
    del batches
    gc.collect()
    while children() - running and perf_counter() - began < FOREVER:
        sleep(0.005)
    assert perf_counter() - began < 3


def test_a_process_that_cannot_react_is_killed(tmp_path: Path) -> None:
    running, threads = children(), set(threading.enumerate())
    dataset = HoldsTheInterpreter(12, tmp_path)
    batches = iter(DataLoader().batch_size(4).workers(1, kind="process").timeout(0.3).build(dataset))
    next(batches)
    with pytest.raises(TimeoutError):
        next(batches)
    began = perf_counter()
    batches.close()
    while (children() - running or set(threading.enumerate()) - threads) and perf_counter() - began < FOREVER:
        sleep(0.005)
    assert perf_counter() - began < END_SECONDS + 2


def test_a_forked_copy_that_ends_leaves_the_processes_alone(tmp_path: Path) -> None:
    program = f"""
        import os, sys
        sys.path.append({str(Path(__file__).parent / "importable")!r})
        from elsewhere import Numbers
        from loadax_core import DataLoader
        batches = iter(DataLoader().batch_size(4).workers(2, kind="process").build(Numbers(80)))
        print(next(batches))
        if os.fork() == 0:
            sys.exit()
        os.wait()
        print(sum(map(len, batches)))
    """
    done = subprocess.run(
        [sys.executable, "-u", "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[0 1 2 3]\n76\n", "")


def test_stuck_processes_end_when_this_process_is_killed(tmp_path: Path) -> None:
    program = f"""
        import sys, threading
        sys.path.append({str(Path(__file__).parent / "importable")!r})
        from pathlib import Path
        from elsewhere import Stuck
        from loadax_core import DataLoader
        batches = iter(DataLoader().batch_size(2).workers(2, kind="process").build(Stuck(12, Path({str(tmp_path)!r}))))
        print(next(batches), flush=True)
        threading.Event().wait()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "[0 1]\n"
        wait_for(tmp_path)
        parent.kill()
        # The pipe is at its end only when the children, which have it too, are gone.
        assert parent.stdout.read() == ""


def test_a_stuck_read_names_the_row_and_shows_where_the_process_stands(tmp_path: Path) -> None:
    batches = iter(DataLoader().batch_size(4).workers(1, kind="process").timeout(0.3).build(Stuck(12, tmp_path)))
    next(batches)
    with pytest.raises(
        TimeoutError, match=r"reading row 4 \(epoch 0, step 1\) has taken longer than .* 0\.3 s"
    ) as caught:
        next(batches)
    assert "threading.Event().wait()" in str(caught.value)
    assert "elsewhere.py" in str(caught.value)


def test_a_process_does_not_import_jax_and_finds_cpu_devices_only() -> None:
    (batch,) = DataLoader().workers(1, kind="process").build(Modules(1))
    assert batch.tolist() == [0]
    (batch,) = DataLoader(platforms).workers(1, kind="process").build(Numbers(1))
    assert batch == "cpu"


def test_what_cannot_be_pickled_is_named_in_build() -> None:
    class Local(Numbers):
        """Not importable."""

    builder = DataLoader().workers(2, kind="process")
    with pytest.raises(
        TypeError, match=r"workers\(2, kind='process'\) sends the dataset .* but .*Local.* cannot be pickled"
    ):
        builder.build(Local(3))
    with pytest.raises(
        TypeError, match=r"sends the batcher to other processes, but .*<lambda> .* \(the batcher\) cannot"
    ):
        DataLoader(lambda items: items).workers(2, kind="process").build(Numbers(3))
    holding = Numbers(3, {1: ValueError(threading.Lock())})
    with pytest.raises(TypeError, match=r"but a lock \(.*errors\[1\].*\) cannot be pickled: .*threads: \.workers\(n\)"):
        builder.build(holding)
    with pytest.raises(TypeError, match=r"but .*<lambda> of module .*test_processes \(.*\) cannot be pickled"):
        DataLoader(lambda items: items).workers(1, kind="process").build([1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"n": 2, "kind": "greenlet"}, ValueError, "kind must be 'thread' or 'process', got 'greenlet'"),
        ({"n": 0, "kind": "process"}, ValueError, "workers must be at least 1, got 0"),
        ({"n": 1.5, "kind": "process"}, TypeError, "workers must be an integer of at least 0, or an executor, got 1.5"),
        ({"n": "all"}, TypeError, "workers must be an integer of at least 0, or an executor, got 'all'"),
    ],
)
def test_impossible_workers_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DataLoader().workers(**call)


PROGRAM = """
import sys
import numpy as np
from loadax_core import DataLoader

# Two processes write to the same pipe; `print` would write a line in pieces.
sys.stdout.write("main runs as " + __name__ + "\\n")

class Mine:
    def __len__(self): return 4
    def __getitem__(self, row): return np.float32(row)

def go():
    batches = DataLoader().batch_size(2).workers(1, kind="process").build({dataset})
    sys.stdout.write(" ".join(map(str, batches)) + "\\n")

{call}
"""


@pytest.mark.parametrize(
    ("dataset", "call", "output"),
    [
        # The main program is imported only if the dataset needs it.
        ("[1, 2]", "go()", "main runs as __main__\n[1 2]\n"),
        (
            "Mine()",
            'if __name__ == "__main__": go()',
            "main runs as __main__\nmain runs as __mp_main__\n[0. 1.] [2. 3.]\n",
        ),
        (
            "Mine()",
            """
if __name__ == "__main__":
    from multiprocessing import get_context

    process = get_context("spawn").Process(target=go)
    process.start()
    process.join()
""",
            "main runs as __main__\nmain runs as __mp_main__\nmain runs as __mp_main__\n[0. 1.] [2. 3.]\n",
        ),
    ],
)
def test_programs(dataset: str, call: str, output: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(dataset=dataset, call=call))
    done = subprocess.run([sys.executable, "-u", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    # A worker's output comes when it ends.
    assert sorted(done.stdout.splitlines()) == sorted(output.splitlines())


def test_a_program_that_guards_nothing_is_told_to(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(dataset="Mine()", call="go()"))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'put what the program does under `if __name__ == "__main__":`' in done.stderr


GUARDED = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from loadax_core import DataLoader

if __name__ == "__main__":
    class Mine:
        def __len__(self): return 4
        def __getitem__(self, row): return row

    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        list(DataLoader().workers({workers}).build(Mine()))
"""


@pytest.mark.parametrize("workers", ["1, kind='process'", "executor"])
def test_a_program_that_guards_too_much_is_told_so(workers: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(GUARDED.format(workers=workers))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'loadax: define it above `if __name__ == "__main__":`, where a worker process finds it' in done.stderr


@pytest.mark.parametrize("how", ["option", "input"])
def test_what_an_interactive_program_defines_is_refused_in_build(how: str) -> None:
    program = PROGRAM.format(dataset="Mine()", call="go()")
    arguments, typed = (["-c", program], None) if how == "option" else (["-"], program)
    done = subprocess.run([sys.executable, *arguments], input=typed, capture_output=True, text=True, timeout=60)
    assert "cannot import what was defined in an interactive program; move its functions and classes" in done.stderr


def test_processes_run_with_the_options_of_the_program() -> None:
    program = f"""
        import sys
        sys.path.append({str(Path(__file__).parent / "importable")!r})
        from elsewhere import debugs
        from loadax_core import DataLoader
        print(__debug__, *DataLoader(debugs).workers(1, kind="process").build([0]))
    """
    command = [sys.executable, "-O", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False False\n", "")


def spawned() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


@pytest.mark.parametrize("make", [spawned, lambda: ThreadPoolExecutor(2)])
def test_executors_load_what_the_caller_would(make: Any) -> None:
    with make() as executor:
        datasets: list[Any] = [Rotating(23), Wide(23), np.arange(23)]
        for dataset in datasets:
            builder = DataLoader().batch_size(5).epochs(2)
            expected = list(builder.build(dataset))
            for _ in range(2):
                for batch, other in zip(builder.workers(executor).build(dataset), expected, strict=True):
                    check_same(batch, other)
        check_loader(DataLoader().batch_size(6).workers(executor).prefetch(3).epochs(2).build(Numbers(16)))
        failing = iter(DataLoader().batch_size(3).workers(executor).build(Numbers(12, {7: KeyError("seven")})))
        with pytest.raises(KeyError, match="seven") as caught:
            list(failing)
        assert caught.value.__notes__[0] == "loadax: raised by row 7"
        assert "raise self.errors[row]" in str(caught.value.__cause__)
        # It is not ours to shut down.
        assert executor.submit(len, [1]).result() == 1


def test_the_byte_order_of_arrays_is_the_same_by_any_way() -> None:
    foreign: Any = np.arange(12, dtype=">i4").reshape(6, 2)
    with spawned() as executor:
        for dataset in (foreign, Foreign(6)):
            builder = DataLoader(first).batch_size(3)
            expected = list(builder.build(dataset))
            assert expected[0].dtype == ">i4"
            for workers in (builder.workers(1), builder.workers(1, kind="process"), builder.workers(executor)):
                for batch, other in zip(workers.build(dataset), expected, strict=True):
                    check_same(batch, other)


def test_a_loader_with_processes_can_be_copied() -> None:
    loader = DataLoader().batch_size(3).workers(1, kind="process").build(Numbers(6))
    for other in (pickle.loads(pickle.dumps(loader)), deepcopy(loader)):
        assert [batch.tolist() for batch in other] == [[0, 1, 2], [3, 4, 5]]


def test_an_executor_is_not_sent_the_dataset_with_each_task() -> None:
    """Once for each process would do; a process may say in vain that it lacks it, if another gets the answer."""
    dataset = Counted(200)
    with spawned() as executor:
        assert len(list(DataLoader().batch_size(2).workers(executor).prefetch(8).build(dataset))) == 100
    assert 1 <= Counted.pickled <= 20


class Counted(Numbers):
    """Counts how often it is pickled."""

    pickled = 0

    def __reduce__(self) -> Any:
        Counted.pickled += 1
        return Numbers, (self.rows,)


def test_a_dataset_that_cannot_be_unpickled_is_an_error_and_leaves_the_pool_as_it_is() -> None:
    with spawned() as executor:
        with pytest.raises(FileNotFoundError, match="no such mount") as caught:
            next(iter(DataLoader().workers(executor).build(OnlyHere(4))))
        assert caught.value.__notes__ == ["loadax: while unpickling the dataset for the batch of epoch 0, step 0"]
        assert "only_in" in str(caught.value.__cause__)
        assert executor.submit(len, [1]).result() == 1


def test_a_broken_executor_is_an_error() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown") as caught:
        next(iter(DataLoader().workers(executor).build([1, 2])))
    assert caught.value.__notes__ == ["loadax: while submitting the batch of epoch 0, step 0"]
    with pytest.raises(ValueError, match="an executor brings its own workers; leave out kind"):
        DataLoader().workers(executor, kind="process")  # pyright: ignore[reportArgumentType]


def test_an_executor_of_threads_relays_any_error_as_it_is() -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(LockedError) as caught:
        next(iter(DataLoader().workers(executor).build(Locked(3))))
    assert caught.value.__notes__[0] == "loadax: raised by row 0"


def test_what_a_pool_of_processes_cannot_be_sent_is_refused_by_build() -> None:
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as executor,
        pytest.raises(TypeError, match=r"workers\(executor\) sends the batcher .*<lambda> .* cannot be pickled"),
    ):
        DataLoader(lambda items: items).workers(executor).build([1, 2])


class Relayed(ThreadPoolExecutor):
    """Pickles tasks twice, as a scheduler that lies between the processes of a cluster does."""

    protocol = pickle.DEFAULT_PROTOCOL

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        for _ in range(2):
            args = pickle.loads(pickle.dumps(args, self.protocol))
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("by_value", [False, True])
def test_a_scheduler_may_pickle_a_task_again(monkeypatch: pytest.MonkeyPatch, by_value: bool, protocol: int) -> None:
    if by_value:
        pytest.importorskip("cloudpickle")
    else:
        monkeypatch.delitem(sys.modules, "cloudpickle", raising=False)
    with Relayed(2) as executor:
        executor.protocol = protocol
        batches = list(DataLoader().batch_size(3).workers(executor).epochs(2).build(np.arange(10)))
    assert np.concatenate(batches).tolist() == [*range(10)] * 2
