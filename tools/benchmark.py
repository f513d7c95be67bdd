"""Speed of ptocr beside other systems, taking turns on the same pictures; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench import suites
from bench.chart import save_chart
from bench.timing import bench_network, bench_pages, plain, table
from tqdm import tqdm

SUITES = ("networks", *suites.PAGE_SUITES)
WORKER = Path(__file__).parent / "bench" / "worker.py"
PICTURES = (".jpg", ".jpeg", ".png", ".bmp")


def main() -> None:
    """Measure the suites asked for; tables go to standard output, figures to --json, a chart to --chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--suite", nargs="+", choices=SUITES, default=list(SUITES))
    add("--image_dir", type=Path, help="pages for the end-to-end suites")
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=5, help="of pages; networks run four times as many")
    add("--device", default="cpu")
    add("--only", nargs="+", default=None, help="contenders to keep, by a part of their name")
    add("--python", nargs="+", default=[], metavar="PEER=PATH", help="interpreter that can import a peer")
    add("--paddle_models", type=Path, help="folder with det, rec, cls inference folders for PaddleOCR")
    add("--v6_models", type=Path, help="folder with the ONNX files of rapidocr 3.10, for systems that bring none")
    add("--json", type=Path, help="write all figures here")
    add("--chart", type=Path, help="draw the ratios here (.png)")
    args = parser.parse_args()
    python = dict(pair.split("=", 1) for pair in args.python)
    report: dict[str, object] = {"threads": args.threads, "device": args.device}
    for name, count, reference, figures in measure(args, python):
        print(f"\n{name}\n\n{table(figures, reference, count)}", flush=True)
        report[name] = plain(figures)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    if args.chart:
        save_chart(report, args.chart)


def measure(args: argparse.Namespace, python: dict[str, str]):  # type: ignore[no-untyped-def]
    """Suite by suite: title, pages per round (0 for networks), references, figures."""
    keep = (lambda all: [c for c in all if any(part in c.name for part in args.only)]) if args.only else list
    pages = sorted(p for p in (args.image_dir or Path()).glob("*") if p.suffix.lower() in PICTURES)
    for suite in args.suite:
        if suite == "networks":
            for case in suites.NETWORK_CASES:
                contenders = keep(suites.network_contenders(case, args.threads, args.device, python))
                figures = bench_network(contenders, case.shape, 4 * args.rounds, args.threads, WORKER)
                yield case.title, 0, ["onnxruntime fp32", "openvino f32", "openvino bf16"], figures
        else:
            folders = args.paddle_models, args.v6_models
            contenders = keep(suites.page_contenders(suite, args.threads, args.device, python, *folders))
            read = "file" if suite == "defaults" else "page"
            figures = bench_pages(contenders, pages, args.rounds, args.threads, WORKER, tqdm, read)
            references = [c.name for c in contenders if not c.name.startswith("ptocr")]
            yield f"{len(pages)} pages, {suites.PAGE_SUITES[suite]}", len(pages), references, figures


if __name__ == "__main__":
    main()
