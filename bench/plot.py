# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws the results of bench/run as SVG."""
from html import escape
from math import log2

WIDTH, ROW, LABEL, LEFT = 760, 22, 150, 20
COLOURS = ["#3465a4", "#4e9a06", "#c17d11", "#75507b", "#cc0000", "#555753"]


def document(height, body):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'font-family="sans-serif" font-size="12">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n{body}</svg>\n')


def text(x, y, words, anchor="start", weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}">'
            f'{escape(words)}</text>\n')


def bars(title, rows):
    """`rows`: triples of a label, a value and a group; one colour a group."""
    most = max(value for _, value, _ in rows)
    groups = list(dict.fromkeys(group for _, _, group in rows))
    body = text(LEFT, 24, title, weight="bold")
    y = 44
    for label, value, group in rows:
        length = (WIDTH - LABEL - LEFT - 110) * value / most
        body += text(LABEL + LEFT - 6, y + 11, label, "end")
        body += (f'<rect x="{LABEL + LEFT}" y="{y}" width="{max(length, 1):.1f}" height="14" '
                 f'fill="{COLOURS[groups.index(group) % len(COLOURS)]}"/>\n')
        body += text(LABEL + LEFT + length + 6, y + 11, f"{value:,.0f}".replace(",", " "))
        y += ROW
    return document(y + 12, body)


def curves(title, series):
    """`series`: name -> list of pairs (depth, value); depths are powers of two."""
    height, top, bottom = 360, 44, 40
    most = max(value for points in series.values() for _, value in points)
    last = max(depth for points in series.values() for depth, _ in points)
    place_x = lambda depth: 80 + (WIDTH - 230) * log2(depth) / max(1, log2(last))
    place_y = lambda value: height - bottom - (height - top - bottom) * value / most
    body = text(LEFT, 24, title, weight="bold")
    for part in range(5):
        value = most * part / 4
        body += f'<line x1="80" x2="{WIDTH - 150}" y1="{place_y(value):.1f}" y2="{place_y(value):.1f}" stroke="#ddd"/>\n'
        body += text(74, place_y(value) + 4, f"{value / 1000:.0f} k", "end")
    for depth in sorted({depth for points in series.values() for depth, _ in points}):
        body += text(place_x(depth), height - bottom + 18, str(depth), "middle")
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{place_x(d):.1f},{place_y(v):.1f}" for d, v in points)
        body += f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>\n'
        body += f'<rect x="{WIDTH - 140}" y="{top + number * 20}" width="12" height="12" fill="{colour}"/>\n'
        body += text(WIDTH - 122, top + number * 20 + 11, name)
    return document(height, body)


def write_plots(results, folder):
    """Writes one file a part that was measured; returns their paths."""
    plots = {}
    if "engine" in results:
        rows = [(r["workload"], r["blocks_per_second"], "engine") for r in results["engine"]
                if not r["workload"].startswith("discard")]
        plots["engine.svg"] = bars("The engine in memory, one processor: blocks of 4 KiB a second", rows)
    if "depths" in results:
        series = {}
        for r in results["depths"]:
            series.setdefault(r["workload"], []).append((r["depth"], r["blocks_per_second"]))
        plots["depths.svg"] = curves("Blocks a second by requests in flight, one processor", series)
    if "nbd" in results:
        rows = [(f"{r['load']} x{r['connections']}, {r['server']}", r["requests_per_second"], r["server"])
                for r in sorted(results["nbd"], key=lambda r: (r["load"], r["connections"]))
                if r["load"].endswith("4k")]
        plots["nbd.svg"] = bars("NBD over a unix socket: requests a second", rows)
    for name, content in plots.items():
        (folder / name).write_text(content)
    return [folder / name for name in plots]
