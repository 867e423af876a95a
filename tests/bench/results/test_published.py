"""The published figures are those of the experiment that this one reproduces."""

from dataclasses import replace

from fingerpost.bench.results.capacity import Band, published_reaches
from fingerpost.bench.results.published import POINTS, SECONDS, seconds
from fingerpost.bench.run import ALL, RELAY_FAILED, SOME_LOST

from .runs import CAPACITY, MESSAGES, SERVERS

PUBLISHED = {
    ("servers", "go"): "1.81 2.65 3.54 3.94 5.13 5.93 6.18 6.91 7.90 7.97",
    ("servers", "node"): "3.19 3.51 3.38 4.53 6.37 7.47 8.65 8.36 9.62 7.97",
    ("clients", "go"): "1.79 2.41 3.01 4.34 4.33 5.41 5.52 6.48 8.26 8.66",
    ("clients", "node"): "2.65 3.36 3.62 3.35 7.50 5.06 7.94 7.95 16.59 16.41",
}


def test_each_number_is_the_published_one() -> None:
    data = {(name, relay): values for name, relays in SECONDS.items() for relay, values in relays.items()}
    assert data == {place: tuple(map(float, line.split())) for place, line in PUBLISHED.items()}
    assert list(POINTS) == [str(number) for number in range(50, 300, 25)]


def test_they_stand_beside_our_points() -> None:
    assert seconds(replace(SERVERS, points=("75", "80"))) == {"go": {"75": 2.65}, "node": {"75": 3.51}}
    assert seconds(MESSAGES) == {}


def test_other_parameters_have_nothing_to_stand_beside() -> None:
    assert seconds(replace(SERVERS, parameters={"clients": 10, "messages": 100})) == {}


def test_other_parameters_have_no_limits_to_stand_beside() -> None:
    assert published_reaches(replace(CAPACITY, parameters={"clients": 2})) == []


def test_published_capacity_as_bands() -> None:
    go, node = published_reaches(replace(CAPACITY, points=("500", "7000")))
    assert go.bands == (Band(0, 5000, ALL), Band(5000, 5500, SOME_LOST), Band(5500, 7000, RELAY_FAILED))
    assert node.bands == (Band(0, 4000, ALL), Band(4000, 7000, RELAY_FAILED))
