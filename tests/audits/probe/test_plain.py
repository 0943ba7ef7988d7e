"""Plain pictures, and which of them a component answers to."""

import numpy as np

from audits.probe.plain import COLOURS, TEXTURES, VARIANTS, pictures, plain_table


def test_plain_pictures_are_of_their_colour_and_no_two_the_same() -> None:
    shown = list(pictures())
    names = [name for name, _ in shown]
    assert names == [name for name in (*COLOURS, *TEXTURES) for _ in range(VARIANTS)]
    values = [np.array(picture) for _, picture in shown]
    assert len({one.tobytes() for one in values}) == len(values)
    for name, one in zip(names, values, strict=True):
        mean = one.mean(axis=(0, 1))
        if name in TEXTURES:
            assert np.ptp(mean) == 0 and one.std() > 20, name
        else:
            assert np.ptp(mean / COLOURS[name]) < 0.1, name


def test_a_component_answers_to_the_picture_that_fires_it_most() -> None:
    names = np.repeat(["red", "blue", "dots"], 2)
    activation = np.zeros((6, 3))
    activation[:, 0] = [0, 0, 3, 2, 1, 0]  # blue before all others
    activation[:, 1] = [0, 1, 0, 2, 0, 0]  # blue: 4 of 8 pairs, three more halves
    found = plain_table(activation, names, 0.8)
    assert found["component"].tolist() == [0] and found["picture"].tolist() == ["blue"]
    assert found["answer"].tolist() == [1.0]
    more = plain_table(activation, names, 0.6)
    assert more["component"].tolist() == [0, 1] and more["answer"].tolist()[1] == 5.5 / 8
