#!/usr/bin/env python3
"""Builds data/land-110m.bin and data/land-50m.bin, the coast lines of the live map, from one published package.

    python3 data/outline.py                   downloads the package and writes both files
    python3 data/outline.py --inputs DIR      reads the package from DIR instead
    python3 data/outline.py --check           compares with the existing files and writes nothing

The package is world-atlas 2.0.2 of npm: Natural Earth's land at 1:110,000,000 and 1:50,000,000 as TopoJSON. `npm pack`
downloads it; its SHA-256 sum is always checked. Needs Python 3.9 or later and only its standard library. The same
input gives the same bytes on each run.

A file is a sequence of LEB128 variable-length integers:

    version            1
    units per degree   of the coordinates
    rings              the number of rings
    each ring          the number of its points, then for each point two zigzag-coded integers (0, -1, 1, -2, ...
                       are written as 0, 1, 2, 3, ...): the steps in longitude and in latitude from the previous
                       point of the ring, or from 0, 0

A ring is closed: after its last point comes its first. Land is where an odd number of rings is around a point. The step
in longitude is the short way around the earth, so that a ring which crosses 180 degrees continues beyond it. The ring
of Antarctica ends a whole turn away from where it begins. The source cuts some islands in two at 180 degrees: such a
ring begins and ends there, and its last side is no coast.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
PACKAGE = "world-atlas-2.0.2.tgz"
SHA256 = "032e7765f2ce00edaeafec23ff22bc3b77e42987c257da944cc585b452c05b97"
VERSION = 1

# The steps are as coarse as the scale allows: about 1 km, and 220 m.
UNITS_PER_DEGREE = {"land-110m": 100, "land-50m": 500}

# The latitude at which the map ends; nothing beyond it is visible.
EDGE = 85.05


def main():
    arguments = argparse.ArgumentParser(description="Builds the coast lines of the live map from one published package.")
    arguments.add_argument("--inputs", type=pathlib.Path, help="folder of the package; default: download it")
    arguments.add_argument("--check", action="store_true", help="compare with the existing files and write nothing")
    options = arguments.parse_args()

    if options.inputs:
        topologies = read_package(options.inputs)
    else:
        with tempfile.TemporaryDirectory() as folder:
            fetch = ["npm", "pack", "--silent", "world-atlas@2.0.2"]
            subprocess.run(fetch, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            topologies = read_package(pathlib.Path(folder))
    for name, topology in topologies.items():
        path = FOLDER / f"{name}.bin"
        rings = list(rings_of(topology, UNITS_PER_DEGREE[name]))
        packed = pack(rings, UNITS_PER_DEGREE[name])
        if not options.check:
            path.write_bytes(packed)
        elif path.read_bytes() != packed:
            sys.exit(f"{path}: differs from this input")
        print(f"{path}: {len(rings)} rings, {sum(map(len, rings))} points, {len(packed)} bytes")


def read_package(folder):
    """Returns the topology of each file by name."""
    found = hashlib.sha256((folder / PACKAGE).read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{folder / PACKAGE}: expected SHA-256 {SHA256}, got {found}")
    with tarfile.open(folder / PACKAGE) as package:
        return {name: json.load(package.extractfile(f"package/{name}.json")) for name in UNITS_PER_DEGREE}


def rings_of(topology, units_per_degree):
    """Yields each ring as a list of points (longitude, latitude) in units, without the last point, which is the first."""
    arcs = [absolute(arc, topology["transform"], units_per_degree) for arc in topology["arcs"]]
    for geometry in topology["objects"]["land"]["geometries"]:
        for polygon in geometry["arcs"]:
            for ring in polygon:
                points = []
                for index in ring:
                    # A negative index is the complement of the arc's own, and stands for the reversed arc.
                    arc = arcs[index] if index >= 0 else arcs[~index][::-1]
                    points += arc[1:] if points else arc
                points = [point for at, point in enumerate(points) if at == 0 or point != points[at - 1]]
                points = cut_last(points[:-1], 180 * units_per_degree)
                if len(points) >= 3 and any(abs(latitude) < EDGE * units_per_degree for _, latitude in points):
                    yield points


def cut_last(points, edge):
    """Returns the ring so that the side along 180 degrees, if there is one, is the last."""
    def on_edge(at):
        return abs(points[at % len(points)][0]) == edge

    points = [point for at, point in enumerate(points) if not (on_edge(at - 1) and on_edge(at) and on_edge(at + 1))]
    cuts = [at for at in range(len(points)) if on_edge(at - 1) and on_edge(at)]
    if len(cuts) > 1:
        sys.exit(f"expected at most one side of a ring along 180 degrees, got {len(cuts)}")
    return points[cuts[0]:] + points[:cuts[0]] if cuts else points


def absolute(arc, transform, units_per_degree):
    """Returns the points of a delta-coded arc of TopoJSON in units."""
    points, x, y = [], 0, 0
    for step_x, step_y in arc:
        x, y = x + step_x, y + step_y
        degrees = (x * transform["scale"][0] + transform["translate"][0],
                   y * transform["scale"][1] + transform["translate"][1])
        points.append(tuple(round(degree * units_per_degree) for degree in degrees))
    return points


def pack(rings, units_per_degree):
    packed = bytearray()
    turn = 360 * units_per_degree
    for number in (VERSION, units_per_degree, len(rings)):
        append_number(packed, number)
    for ring in rings:
        append_number(packed, len(ring))
        last = (0, 0)
        for point in ring:
            longitude = (point[0] - last[0] + turn // 2) % turn - turn // 2
            append_number(packed, zigzag(longitude))
            append_number(packed, zigzag(point[1] - last[1]))
            last = point
    return bytes(packed)


def append_number(packed, number):
    while number >= 0x80:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def zigzag(number):
    return number << 1 if number >= 0 else (-number << 1) - 1


if __name__ == "__main__":
    main()
