"""How the rows of a batch meet the devices of a mesh, as `simulate_hosts` computes it."""

from __future__ import annotations

from loadax_distributed import simulate_hosts

from drawing.svg import SERIES, Sheet

HOSTS, DEVICES, ROWS = 4, 2, 8


def draw() -> str:
    """Two meshes of the same eight devices: a model axis within each host, and one that crosses two hosts."""
    sheet = Sheet(720, 472, "A batch of 8 rows on 4 hosts of 2 devices, for two meshes")
    _panel(sheet, 20, data=4, model=2, text="Each host holds other rows, and reads 2 of the 8.")
    text = "The model axis crosses hosts: hosts 0 and 1 hold the same 4 rows, and both read them."
    _panel(sheet, 250, data=2, model=4, text=text)
    return sheet.svg()


def _panel(sheet: Sheet, top: float, *, data: int, model: int, text: str) -> None:
    cluster = simulate_hosts(
        hosts=HOSTS,
        devices_per_host=DEVICES,
        mesh_shape={"data": data, "model": model},
        batch_size=ROWS,
        dataset_length=ROWS,
    )
    sheet.text(20, top + 16, f'jax.make_mesh(({data}, {model}), ("data", "model"))', size=14, bold=True, mono=True)
    sheet.text(20, top + 38, text, size=13, fill="soft")
    sheet.text(20, top + 72, "global batch", size=13, fill="soft")
    per_shard = ROWS // data
    cell = 64
    for row in range(ROWS):
        x = 126 + cell * row
        sheet.box(x, top + 54, cell - 6, 28, fill=SERIES[row // per_shard])
        sheet.text(x + (cell - 6) / 2, top + 73, f"row {row}", size=12.5, anchor="middle")
    for host in range(HOSTS):
        rows = [int(row) for row in cluster.rows(host, step=0)]
        colour = SERIES[rows[0] // per_shard]
        x, width = 20 + 172.0 * host, 164.0
        middle = x + width / 2
        sheet.arrow((126 + cell * (rows[0] + len(rows) / 2) - 3, top + 85), (middle, top + 112))
        sheet.box(x, top + 114, width, 88, edge="edge")
        sheet.text(x + 12, top + 134, f"host {host}", size=13, bold=True)
        sheet.text(x + width - 12, top + 134, f"reads {_span(rows)}", size=12.5, anchor="end", fill="soft")
        for device in range(DEVICES):
            left = x + 10 + device * (width - 12) / 2
            sheet.box(left, top + 146, (width - 28) / 2, 46, fill=colour)
            centre = left + (width - 28) / 4
            sheet.text(centre, top + 164, f"device {host * DEVICES + device}", size=12, anchor="middle")
            sheet.text(centre, top + 182, _span(rows), size=12.5, anchor="middle", bold=True)


def _span(rows: list[int]) -> str:
    return f"{rows[0]}-{rows[-1]}"
