"""Names of images as their users know them."""

from psa_core.delivery.names import relative_names


def test_names_are_relative_to_the_common_folder():
    assert relative_names(["/d/a/1.jpg", "/d/b/2.jpg"]) == ["a/1.jpg", "b/2.jpg"]
    assert relative_names(["/d/a/1.jpg"]) == ["1.jpg"]
    assert relative_names([]) == []
