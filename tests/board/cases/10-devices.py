"""What the guest's devices.json says, beside what its sysfs says."""

import json


def same_facts(_suite, kept):
    told = json.loads((kept / "devices.json").read_text())
    facts = (kept / "facts.txt").read_text().splitlines()

    # The output node is no camera.
    nodes = [line.split(maxsplit=3)[1:] for line in facts if line.startswith("video ")]
    captures = [f"/dev/{node}" for node, _, name in nodes if "cap" in name]
    assert [c["path"] for c in told["cameras"]] == captures, f"cameras {told['cameras']} beside {nodes}"

    heads = [line.split() for line in facts if line.startswith("head ")]
    for _, name, status, *mode in heads:
        connector = name.split("-", 1)[1]
        seen = [d for d in told["displays"] if d["name"] == connector]
        assert len(seen) == 1, f"{connector} is not among {told['displays']}"
        assert seen[0]["connected"] == (status == "connected"), f"{seen} beside {status}"
        assert seen[0]["modes"][:1] == mode, f"{seen[0]['modes']} does not begin with {mode}"

    chips = [line.split(":", 2) for line in facts if line.startswith("gpiochip")]
    assert len(told["gpio"]) == len(chips), f"{told['gpio']} beside {chips}"
    for chip, (name, lines, rest) in zip(told["gpio"], chips):
        first, last = lines.split("GPIOs ")[1].split(",")[0].split("-")
        label = rest.rsplit(", ", 1)[1]
        assert chip["label"] == label, f"{chip['label']} beside {label}"
        assert chip["path"] == f"/dev/{name}", f"{chip['path']} beside {name}"
        assert len(chip["lines"]) == int(last) - int(first) + 1, f"{chip['lines']} beside {lines}"

    (cpus,) = [int(line.split()[1]) for line in facts if line.startswith("cpus ")]
    assert told["cpu"]["cores"] == cpus
    assert "part 0xd08" not in facts or "A72" in told["cpu"]["model"], told["cpu"]["model"]
    (features,) = [line.split()[1:] for line in facts if line.startswith("features ")]
    for feature in ("asimd", "asimddp", "i8mm"):
        assert (feature in told["cpu"]["features"]) == (feature in features), feature
    (memory,) = [int(line.split()[1]) for line in facts if line.startswith("memory ")]
    assert abs(told["memory"]["total_bytes"] - memory * 1024) < 2**20

    checks = json.loads((kept / "doctor.json").read_text())["checks"]
    verdicts = {check["name"]: check["verdict"] for check in checks}
    assert verdicts["cameras"] == verdicts["gpio"] == verdicts["model"] == "ok", verdicts
    return f"{len(captures)} cameras, {len(heads)} display, {len(chips)} chip, {cpus} cores"
