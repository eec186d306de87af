from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core.plan.steps import Plan, Position

plans = st.builds(
    Plan,
    rows=st.integers(0, 60),
    batch_size=st.integers(1, 20),
    drop_remainder=st.booleans(),
    first_epoch=st.integers(0, 3),
    epochs=st.integers(1, 4),
    skipped=st.just(()),
)


@given(plans)
def test_every_row_once_per_epoch_in_order(plan: Plan) -> None:
    steps = list(plan.steps_from(plan.start))
    assert len(steps) == plan.steps
    assert plan.epochs is not None
    for epoch in range(plan.first_epoch, plan.first_epoch + plan.epochs):
        mine = [step for step in steps if step.epoch == epoch]
        assert [step.number for step in mine] == list(range(plan.steps_per_epoch))
        rows = [row for step in mine for row in range(step.start, step.stop)]
        kept = plan.rows // plan.batch_size * plan.batch_size if plan.drop_remainder else plan.rows
        assert rows == list(range(kept))
        assert all(step.size == plan.batch_size for step in mine[:-1])


@given(plans, st.data())
def test_a_run_continues_from_every_position_it_reaches(plan: Plan, data: st.DataObject) -> None:
    steps = list(plan.steps_from(plan.start))
    done = data.draw(st.integers(0, len(steps)))
    position = plan.after(steps[done - 1]) if done else plan.start
    assert list(plan.steps_from(position)) == steps[done:]
    assert plan.steps_left(position) == len(steps) - done
    assert plan.steps_done(position) == done
    assert plan.between(plan.start, position) == (done, sum(step.size for step in steps[:done]))


@given(plans, st.integers(1, 20), st.booleans(), st.data())
def test_another_batch_size_continues_with_the_next_row(plan: Plan, size: int, drop: bool, data: st.DataObject) -> None:
    steps = list(plan.steps_from(plan.start))
    done = data.draw(st.integers(0, len(steps)))
    position = plan.after(steps[done - 1]) if done else plan.start
    other = Plan(plan.rows, size, drop, plan.first_epoch, plan.epochs)
    rest = list(other.steps_from(position))
    assert other.steps_left(position) == len(rest)
    further = data.draw(st.integers(0, len(rest)))
    later = other.after(rest[further - 1]) if further else position
    assert other.between(position, later) == (further, sum(step.size for step in rest[:further]))
    # Rows that the first plan would have dropped at the end of an epoch are over once its last batch is out.
    seen = [(step.epoch, row) for step in [*steps[:done], *rest] for row in range(step.start, step.stop)]
    assert seen == sorted(set(seen))
    if not plan.drop_remainder and not drop:
        assert plan.epochs is not None
        epochs = range(plan.first_epoch, plan.first_epoch + plan.epochs)
        assert seen == [(epoch, row) for epoch in epochs for row in range(plan.rows)]


def test_the_end_of_an_epoch_is_the_start_of_the_next() -> None:
    plan = Plan(10, 4, drop_remainder=True, epochs=2)
    steps = list(plan.steps_from(plan.start))
    assert plan.after(steps[1]) == Position(1, 0)
    assert plan.after(steps[3]) == plan.end == Position(2, 0)


def test_endless_plans_count_nothing() -> None:
    plan = Plan(10, 4, drop_remainder=False, epochs=None)
    assert plan.steps is None
    assert plan.end is None
    assert plan.steps_left(Position(5, 0)) is None
    assert plan.steps_done(Position(5, 4)) == 16
    steps = plan.steps_from(Position(10**9, 8))
    assert next(steps) == (10**9, 2, 8, 10)
    assert next(steps) == (10**9 + 1, 0, 0, 4)


@given(plans, st.data())
def test_steps_that_begin_inside_those_of_another_batch_size_have_numbers_of_their_own(
    plan: Plan, data: st.DataObject
) -> None:
    epoch = data.draw(st.integers(plan.first_epoch, plan.first_epoch + (plan.epochs or 1) - 1))
    steps = list(plan.steps_from(Position(epoch, data.draw(st.integers(0, plan.rows)))))
    assert [plan.steps_done(Position(step.epoch, step.start)) for step in steps] == [
        (step.epoch - plan.first_epoch) * plan.steps_per_epoch + step.number for step in steps
    ]
    assert len({plan.number(step) for step in steps}) == len(steps)
    assert all(step.number < plan.steps_per_epoch for step in steps)


def test_a_batch_that_another_batch_size_has_begun_is_not_done() -> None:
    plan = Plan(10, 4, drop_remainder=False, first_epoch=1, epochs=2)
    position = Position(2, 6)
    assert (plan.steps_done(position), plan.steps_left(position)) == (4, 1)


def test_no_row_is_lost_to_a_skipped_step_of_the_next_epoch() -> None:
    # After row 3, there are as many steps as in a whole epoch, besides the one that another batch size has begun.
    plan = Plan(8, 4, drop_remainder=False, epochs=2, skipped=(2,))
    assert [(step.epoch, step.start) for step in plan.steps_from(Position(0, 3))] == [(0, 3), (0, 7), (1, 4)]
    assert plan.steps_left(Position(0, 3)) == 3


@given(plans, st.lists(st.integers(0, 40), max_size=6, unique=True), st.data())
def test_a_plan_without_some_steps_has_the_others_as_they_were(
    plan: Plan, skipped: list[int], data: st.DataObject
) -> None:
    fewer = plan._replace(skipped=tuple(sorted(skipped)))
    steps = [step for step in plan.steps_from(plan.start) if plan.number(step) not in skipped]
    assert list(fewer.steps_from(plan.start)) == steps
    assert len(steps) == fewer.steps
    assert plan.epochs is not None
    position = Position(
        plan.first_epoch + data.draw(st.integers(0, plan.epochs - 1)), data.draw(st.integers(0, plan.rows))
    )
    rest = list(fewer.steps_from(position))
    assert fewer.steps_left(fewer.settle(position)) == len(rest)
    for i, step in enumerate(rest):
        counted = rest[: i + 1]
        assert fewer.between(fewer.settle(position), fewer.after(step)) == (i + 1, sum(each.size for each in counted))


@given(plans)
def test_a_step_is_found_by_its_number(plan: Plan) -> None:
    steps = list(plan.steps_from(plan.start))
    assert [plan.find(number) for number in range(len(steps))] == steps
    assert all(plan.steps_done(Position(step.epoch, step.start)) == number for number, step in enumerate(steps))
    for number in (-1, len(steps)):
        with pytest.raises(ValueError, match=f"got {number}"):
            plan.find(number)
