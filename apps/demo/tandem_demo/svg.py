# SPDX-License-Identifier: BSD-3-Clause
"""A drawing in SVG, as far as the picture needs it."""

from xml.sax.saxutils import escape

FONT = "Inter, 'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif"


class Drawing:
    def __init__(self, width, height):
        self._parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                       f'viewBox="0 0 {width} {height}" font-family="{FONT}">',
                       f'<rect width="{width}" height="{height}" fill="#ffffff"/>']

    def line(self, x1, y1, x2, y2, colour, width=1.0, dashes=None):
        extra = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="{colour}" '
                           f'stroke-width="{width}"{extra}/>')

    def path(self, points, colour, width=1.0):
        text = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self._parts.append(f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>')

    def shape(self, points, colour):
        text = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self._parts.append(f'<polygon points="{text}" fill="{colour}"/>')

    def rectangle(self, x, y, width, height, colour, opacity=1.0, radius=0.0, border=None):
        extra = f' stroke="{border}"' if border else ""
        self._parts.append(f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(width, 0):.2f}" height="{height:.2f}" rx="{radius}" '
                           f'fill="{colour}" fill-opacity="{opacity}"{extra}/>')

    def circle(self, x, y, radius, colour, border="none"):
        self._parts.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius}" fill="{colour}" stroke="{border}"/>')

    def text(self, x, y, words, size=11, colour="#333333", anchor="start", bold=False, halo=None):
        weight = ' font-weight="600"' if bold else ""
        if halo:
            weight += f' stroke="{halo}" stroke-width="4" paint-order="stroke" stroke-linejoin="round"'
        self._parts.append(f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}>'
                           f"{escape(words)}</text>")

    def text_up(self, x, y, words, size=11, colour="#333333"):
        """Reads from below to above, its middle at y."""
        self._parts.append(f'<text transform="translate({x:.2f} {y:.2f}) rotate(-90)" font-size="{size}" fill="{colour}" '
                           f'text-anchor="middle">{escape(words)}</text>')

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join([*self._parts, "</svg>", ""]))
