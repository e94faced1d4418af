"""Read a picture back from its SVG; and make a neuron to draw."""

import html
import re
import xml.etree.ElementTree as ET

from micrograd_cn import Value
from micrograd_cn.nn import Neuron

SVG = "{http://www.w3.org/2000/svg}"


def elements(picture, kind):
    """Return the groups of one kind in a rendered picture: "node", "edge" or "graph"."""
    return [g for g in ET.fromstring(picture.pipe("svg")).iter(f"{SVG}g") if g.get("class") == kind]


def texts(element):
    """Return the lines of text in an element. A word and its number are one line, and spaces are plain ones."""
    lines = []
    for t in element.iter(f"{SVG}text"):
        text, height = " ".join(t.text.split()), float(t.get("y"))
        if lines and t.get("text-anchor") == "end" and abs(height - lines[-1][1]) < 4:
            lines[-1] = f"{lines[-1][0]} {text}", height
        else:
            lines.append((text, height))
    return [text for text, _ in lines]


def lines(dot):
    """Return the lines of text in an HTML label of DOT."""
    rows = [row.replace("</td><td", "</td> <td") for row in re.findall(r"<tr>(.*?)</tr>", dot)]
    return [html.unescape(re.sub("<[^>]*>", "", row)).replace("\u00a0", " ") for row in rows]


def boxes(picture):
    """Return the lines and the attributes of each box, by its name in the DOT text."""
    found = re.findall(r"^\t(v\d+) \[label=<(.*)>([^>]*)\]$", picture.source, re.MULTILINE)
    return {name: (lines(label), look) for name, label, look in found}


def parsed(picture):
    """Return the texts of each box and each edge of the rendered picture."""
    groups = [*ET.fromstring(picture.pipe("svg")).iter(f"{SVG}g")]
    return [[texts(g) for g in groups if g.get("class") == kind] for kind in ("node", "edge")]


def arrows(picture):
    """Return every edge as a pair: the data lines of the box that it leaves and of the box that it points to."""
    root = ET.fromstring(picture.pipe("svg"))
    line = {}
    found = []
    for g in root.iter(f"{SVG}g"):
        title = g.find(f"{SVG}title")
        if g.get("class") == "node":
            line[title.text] = next(t for t in reversed(texts(g)) if t.startswith("data "))
        elif g.get("class") == "edge":
            found.append(title.text.split("->"))
    return sorted((line[a], line[b]) for a, b in found)


def box(picture, title):
    """Return the box whose first line is `title`."""
    [found] = [g for g in elements(picture, "node") if texts(g)[0] == title]
    return found


def shapes(element):
    return [*element.iter(f"{SVG}polygon"), *element.iter(f"{SVG}path")]


def points(shape):
    """Return the points of a shape; for a curve, the control points, too."""
    found = re.findall(r"(-?[\d.]+),(-?[\d.]+)", shape.get("d") or shape.get("points"))
    return [(float(x), float(y)) for x, y in found]


def course(edge):
    """Return points along an edge, as close to each other as the strokes of a digit."""
    [curve] = edge.iter(f"{SVG}path")
    bends, along = points(curve), [i / 100 for i in range(101)]
    return [
        tuple((1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d for a, b, c, d in axes)
        for first in range(0, len(bends) - 1, 3)
        for t in along
        for axes in [list(zip(*bends[first : first + 4], strict=True))]
    ]


def neuron(x1=1.0, x2=-2.0):
    """Return a tanh neuron with the weights 0.5 and -0.25, and its inputs."""
    n = Neuron(2, activation="tanh")
    n.w[0].data, n.w[1].data, n.b.data = 0.5, -0.25, 0.1
    return n, n([Value(x1, "x1"), Value(x2, "x2")])
