"""The path of a batch: twelve hops between two threads. Names come from the table in CONTRIBUTING.md."""

from __future__ import annotations

import re

from workspace import ROOT

from drawing.svg import Sheet

HOP = re.compile(r"^\| (\d+) \| `([\w/]+\.py)` \| `([\w.]+)` \|", re.MULTILINE)

DOES = {
    1: "checks every setting; reads no row",
    2: "makes an iterator; starts nothing",
    3: "moves the position by one batch",
    4: "waits for the oldest batch",
    5: "computes which rows are next",
    6: "queues the units of work",
    7: "takes one unit after the other",
    8: "opens the dataset of the epoch",
    9: "does the stages, timed",
    10: "reads the rows into one batch",
    11: "hands over the batch, or its error",
    12: "notes how long the loop waited",
}

LEFT, RIGHT, WIDTH, HEIGHT, STEP = 20, 400, 300, 50, 62


def draw() -> str:
    """Hops of the loop's thread on the left, of a worker on the right."""
    title = "The path of a batch: from build to the loop, through the queue of a worker thread and back"
    sheet = Sheet(720, 560, title)
    sheet.text(LEFT, 32, "the thread of your loop", size=15, bold=True)
    sheet.text(RIGHT, 32, "a worker's thread", size=15, bold=True)
    places = {number: (LEFT, 48 + STEP * (number - 1)) for number in range(1, 7)}
    places[12] = (LEFT, 48 + STEP * 6 + 48)
    places |= {number: (RIGHT, 48 + STEP * (number - 5)) for number in range(7, 12)}
    names = hops()
    for number, (x, y) in places.items():
        worker = x == RIGHT
        sheet.box(x, y, WIDTH, HEIGHT, fill="tint" if worker else "card", edge="ours" if worker else "edge")
        sheet.text(x + 30, y + 21, str(number), size=13, anchor="end", fill="soft", bold=True)
        sheet.text(x + 40, y + 21, names[number], size=13.5, mono=True, bold=True)
        sheet.text(x + 40, y + 40, DOES[number], size=13, fill="soft")
    for above, below in ((1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (7, 8), (8, 9), (9, 10), (10, 11)):
        x, y = places[above]
        sheet.arrow((x + 152, y + HEIGHT + 1), (x + 152, places[below][1] - 1))
    # To the worker through a queue, and back under a lock.
    queued, taken = places[6][1] + 25, places[7][1] + 25
    sheet.arrow((LEFT + WIDTH + 1, queued), (360, queued), (360, taken), (RIGHT - 2, taken), stroke="ours")
    sheet.text(360, taken - 10, "queue", size=13, anchor="middle", fill="ours", bold=True)
    done, left = places[11][1] + HEIGHT, places[12][1] + 25
    sheet.arrow((RIGHT + 150, done + 1), (RIGHT + 150, left), (LEFT + WIDTH + 3, left), stroke="ours")
    sheet.text(360, left - 8, "lock", size=13, anchor="middle", fill="ours", bold=True)
    sheet.arrow((LEFT + 150, places[6][1] + HEIGHT + 1), (LEFT + 150, places[12][1] - 1), dashed=True)
    sheet.text(LEFT + 162, places[12][1] - 18, "until the batch is done", size=13, fill="soft")
    last = "Then next returns the batch. The worker is already reading a later one."
    sheet.text(LEFT, places[12][1] + HEIGHT + 24, last, size=13, fill="soft")
    return sheet.svg()


def hops() -> dict[int, str]:
    """The function of each hop."""
    table = (ROOT / "CONTRIBUTING.md").read_text()
    return {int(number): function for number, _, function in HOP.findall(table)}
