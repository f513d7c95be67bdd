"""What a very large job costs: a simulation of workers that read pages, die and are replaced.

    python tools/plan_pages.py --pages 1e6 --workers 16 --rate 2.5
    python tools/plan_pages.py --pages 1e9 --workers 4000 --rate 2.5 --price 0.04

rate: pages per second of one worker, measured with `ptocr batch` on your own pages; price: of a worker's hour.
"""

from __future__ import annotations

import argparse
import heapq
import random


def simulate(
    pages: float, workers: int, rate: float, life: float, restart: float, item: int, seed: int = 0
) -> list[float]:
    """Hours until the end, items that were begun twice, and workers' hours paid.

    life: mean hours until a worker dies (exponential); restart: seconds until its replacement reads; item: pages of one
    input, which is what a death loses. At most some 200,000 events: larger jobs are simulated in larger steps.
    """
    chance = random.Random(seed)
    step = max(item, int(pages / 200_000))  # pages between two events of a worker
    left, again, ends = pages, 0.0, []
    queue = [(0.0, chance.expovariate(1 / life)) for _ in range(workers)]  # (free at, dies at), in hours
    heapq.heapify(queue)
    while left > 0:
        free, dies = heapq.heappop(queue)
        end = free + step / rate / 3600
        if end > dies:  # what it read before is kept; the input it was at is read again
            kept = max(0.0, (dies - free) * 3600 * rate - item)
            left -= min(kept, left)
            again += 1
            free = max(dies, free) + restart / 3600
            heapq.heappush(queue, (free, free + chance.expovariate(1 / life)))
            continue
        left -= step
        ends.append(end)
        heapq.heappush(queue, (end, dies))
    hours = max(ends, default=0.0)
    return [hours, again, hours * workers]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=float, default=1e6)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2.5)
    parser.add_argument("--price", type=float, default=0.04, help="of a worker's hour, in any currency")
    parser.add_argument("--life", type=float, default=200.0, help="mean hours until a worker dies")
    parser.add_argument("--restart", type=float, default=60.0, help="seconds until it is replaced")
    parser.add_argument("--item", type=int, default=4, help="pages of one input")
    parser.add_argument("--broken", type=float, default=0.001, help="share of inputs that cannot be read")
    parser.add_argument("--in_kb", type=float, default=300.0, help="of a page's picture")
    parser.add_argument("--out_kb", type=float, default=12.0, help="of a page's results")
    args = parser.parse_args()
    hours, again, paid = simulate(args.pages, args.workers, args.rate, args.life, args.restart, args.item)
    rows = {
        "pages, workers, pages/s of one": f"{args.pages:.3g}, {args.workers}, {args.rate:g}",
        "hours to the end": f"{hours:.1f}",
        "workers' hours, price": f"{paid:.0f}, {paid * args.price:.2f}",
        "pages per unit of price": f"{args.pages / (paid * args.price):.0f}",
        "inputs read twice after a worker's death": f"{again:.0f}",
        "inputs in failed.tsv": f"{args.pages / args.item * args.broken:.0f}",
        "network in, megabytes per second": f"{args.pages * args.in_kb / 1024 / hours / 3600:.1f}",
        "storage of pictures, of results, gigabytes": f"{args.pages * args.in_kb / 2**20:.0f}, "
        f"{args.pages * args.out_kb / 2**20:.0f}",
        "size of the manifest, gigabytes": f"{args.pages / args.item * 250 / 2**30:.2f}",
    }
    print("| figure | value |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
