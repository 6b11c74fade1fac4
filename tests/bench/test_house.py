from tests.bench import house


def test_circles_are_found_whatever_their_length() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"d"}, "f": {"a"}}
    assert house.circles(graph) == [["a", "b", "c"], ["d", "e"]]


def test_imports_go_down_only() -> None:
    stack = [{"top"}, {"left", "right"}, {"leaf"}]
    graph = {"top.a": {"left", "leaf.x"}, "left": {"right", "leaf"}, "leaf.x": {"top.a"}, "leaf": set()}
    assert house.arrows_up(graph, [stack]) == ["left -> right", "leaf.x -> top.a"]


def test_imports_count_wherever_they_stand(tmp_path) -> None:
    (tmp_path / "a.py").write_text(
        "from typing import TYPE_CHECKING\nimport hw.one\n"
        "if TYPE_CHECKING:\n    from hw.two import thing\n"
        "def f():\n    from hw import three\n"
    )
    names = ("hw", "hw.one", "hw.two", "hw.three")
    known = {name: house.Module(name, tmp_path / "none") for name in names}
    assert house.Module("a", tmp_path / "a.py").imports(known) == {"hw.one", "hw.two", "hw.three"}
