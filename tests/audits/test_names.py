"""Names that tell classes apart."""

from audits.names import distinct_names


def test_shared_names_are_told_apart():
    names = {
        "n1": "crane",
        "n2": "crane",
        "n3": "cardigan",
        "n4": "Cardigan, Cardigan Welsh corgi",
        "n5": "dog, domestic dog",
    }
    classes = [{"label": k, "name": v, "short": v.partition(",")[0]} for k, v in names.items()]
    found = distinct_names(classes)
    assert found == {
        "n1": "crane (n1)",
        "n2": "crane (n2)",
        "n3": "cardigan",
        "n4": "Cardigan, Cardigan Welsh corgi",
        "n5": "dog",
    }
