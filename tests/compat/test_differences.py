"""The list of differences and the tests name the same ids; the two programs run side by side."""

import pytest
from differences import DIFFERENCES, compare, difference, named_ids, read_page
from harness import Server
from response_differences import CHANGES
from responses import CASES, GUEST_CASES

from cyserve import SERVER_SOFTWARE

HEAD = "## Logs\n\n| id | gunicorn 27 | cyserve | why |\n|---|---|---|---|\n"


def test_tests_name_only_what_is_listed():
    unlisted = {name: files for name, files in named_ids().items() if name not in DIFFERENCES}
    assert unlisted == {}


def test_what_is_listed_is_named_by_a_test():
    assert sorted(set(DIFFERENCES) - set(named_ids())) == []


def test_a_row_is_read():
    row = read_page(HEAD + "| `a-1` | sends `x \\| y` | z | better |\n")["a-1"]
    assert (row.section, row.gunicorn, row.cyserve, row.why) == (
        "Logs",
        "sends `x \\| y`",
        "z",
        "better",
    )


@pytest.mark.parametrize(
    "text",
    [
        "| `a` | b | c | d |\n",  # no section
        "## Logs\n\n| `a` | b | c | d |\n",  # no head of a table
        HEAD + "| `a` | b | c |\n",
        HEAD + "| `a` | b | c | |\n",
        HEAD + "| a | b | c | d |\n",
        HEAD + "| `A` | b | c | d |\n",
        HEAD + "| `a` | b | c | d |\n| `a` | e | f | g |\n",
    ],
)
def test_an_unclear_row_is_an_error(text):
    with pytest.raises(ValueError, match="line"):
        read_page(text)


def test_only_what_is_named_may_differ():
    sign = {"server-field": lambda text: text.replace("gunicorn", "cyserve")}
    compare("gunicorn 1", "cyserve 1", differs=sign)
    compare("same", "same")
    for gunicorn, cyserve, given in [
        ("gunicorn 1", "cyserve 1", {}),
        ("gunicorn 1", "cyserve 2", sign),
        ("same", "same", sign),
        ("same", "same", ["server-field"]),
    ]:
        with pytest.raises(AssertionError, match=r"differs without|not do this any|no difference"):
            compare(gunicorn, cyserve, differs=given)
    with pytest.raises(KeyError, match="no-such-id"):
        difference("no-such-id")


def test_ids_are_found_where_tests_name_them(tmp_path):
    (tmp_path / "test_a.py").write_text(
        'A_DIFFERS = {"a": "x"}\n@differs("b", "c")\ndef f(): g(differs=("d", *MORE), other="e")\n'
        'g(differs={"f": change("text")})\n'
    )
    assert sorted(named_ids(tmp_path)) == ["a", "b", "c", "d", "f"]


def test_they_sign_with_their_own_names(start_both, kernel):
    pair = start_both("compat_app:app", kernel=kernel)

    def names(server: Server) -> list[str | None]:
        response = server.request("/dump")
        return [response.header("Server"), response.json()["SERVER_SOFTWARE"]]

    compare(
        names(pair.gunicorn),
        names(pair.cyserve),
        differs={
            "server-field": lambda found: ["cyserve", *found[1:]],
            "server-software": lambda found: [*found[:1], f"'{SERVER_SOFTWARE}'"],
        },
    )


def test_conversations_have_names_of_their_own_and_listed_differences():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert set(GUEST_CASES) <= set(names)
    assert {name for case in CASES for name in case.differs} == set(CHANGES)
