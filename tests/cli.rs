//! The command line as a user meets it: what it prints, and with which exit code
//! it answers bad input. Nothing here may end in a panic.

use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

mod command;

const RUNTIME: i32 = 1;
const USAGE: i32 = 2;
const CAMERA: i32 = 3;
const MODEL: i32 = 4;

fn atrous(args: &[&str], stdin: &[u8], folder: &Path) -> Output {
    command::atrous()
        .args(args)
        .current_dir(folder)
        .write_stdin(stdin.to_vec())
        .output()
        .unwrap()
}

/// Runs a command that must fail with `code`, say each of `words` on stderr, and
/// print nothing that a program would take for a result.
#[track_caller]
fn refused(args: &[&str], stdin: &[u8], folder: &Path, code: i32, words: &[&str]) {
    let output = atrous(args, stdin, folder);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    for word in words {
        assert!(
            stderr.contains(word),
            "{args:?} should say '{word}': {stderr}"
        );
    }
}

#[track_caller]
fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn frames_and_json_give_that_many_lines() {
    let at = folder();
    let args = [
        "run", "--frames", "30", "--json", "--model", "truth", "null:",
    ];
    let lines = json_lines(&atrous(&args, b"", at.path()));
    assert_eq!(lines.len(), 30);
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], i);
        assert_eq!(line["truth"]["pixel_accuracy"], 1.0, "{line}");
        let total: f64 = line["coverage"]
            .as_object()
            .unwrap()
            .values()
            .map(|v| v.as_f64().unwrap())
            .sum();
        assert!((total - 1.0).abs() < 1e-3, "coverage sums to {total}");
    }
}

#[test]
fn sources_that_are_not_there() {
    let at = folder();
    std::fs::create_dir(at.path().join("empty")).unwrap();
    write(at.path(), "empty/notes.txt", "no picture");
    let run = |source: &str, code, words: &[&str]| {
        refused(&["run", source, "null:"], b"", at.path(), code, words);
    };
    run("missing.png", USAGE, &["missing.png"]);
    run("empty", USAGE, &["empty", ".png"]);
    run("none_*.png", USAGE, &["none_*.png"]);
    run("/dev/video9", CAMERA, &["/dev/video9", "atrous devices"]);
    run("rtsp://camera/1", USAGE, &["rtsp", "synthetic"]);
    for size in ["0x0", "0x480", "100000x100000", "640", "axb"] {
        run(&format!("synthetic://road?size={size}"), USAGE, &["size"]);
        run(&format!("v4l2:///dev/video0?size={size}"), USAGE, &["size"]);
    }
    run("synthetic://road?sede=1", USAGE, &["sede"]);
    run("synthetic://moon", USAGE, &["moon"]);
}

#[test]
fn y4m_headers_that_lie() {
    let at = folder();
    let frame = [b"FRAME\n".as_slice(), &[128; 24]].concat();
    for header in [
        "YUV4MPEG2 W0 H4 F25:1\n",
        "YUV4MPEG2 W100000 H100000 F25:1\n",
        "YUV4MPEG2 H4 F25:1\n",
        "YUV4MPEG2 Wx H4 F25:1\n",
        "YUV4MPEG2 W64 H64 F25:1\n",
        "YUV4MPEG2 W4 H4 F25:1 C420p10\n",
    ] {
        let stream = [header.as_bytes(), &frame].concat();
        // No frame gets as far as the model, so any model will do.
        refused(&["run", "-", "null:"], &stream, at.path(), RUNTIME, &[]);
    }
    refused(
        &["run", "-", "null:"],
        b"",
        at.path(),
        RUNTIME,
        &["rpicam-vid"],
    );
    refused(
        &["run", "-", "null:"],
        b"garbage that is no video",
        at.path(),
        RUNTIME,
        &["Y4M"],
    );
}

#[test]
fn models_that_are_none() {
    let at = folder();
    write(at.path(), "text.onnx", "this is a text file\n".repeat(50));
    let inspect = |model: &str, words: &[&str]| {
        refused(&["inspect", model], b"", at.path(), MODEL, words);
        refused(
            &["run", "synthetic://road", "null:", "--model", model],
            b"",
            at.path(),
            MODEL,
            words,
        );
    };
    inspect("missing.onnx", &["missing.onnx"]);
    inspect("text.onnx", &["text.onnx"]);
}

/// An ONNX file of one input and one output, 1x3x8x8, both f32, made of length-
/// delimited fields by hand.
fn float_model(nodes: &[Vec<u8>], initializers: &[Vec<u8>]) -> Vec<u8> {
    let value = |name: &str| {
        let side = |side: u8| field(1, &[0x08, side]);
        let shape = field(2, &[1, 3, 8, 8].map(side).concat());
        let tensor = field(1, &[&[0x08, 1][..], &shape].concat());
        [field(1, name.as_bytes()), field(2, &tensor)].concat()
    };
    let mut graph: Vec<u8> = nodes.iter().flat_map(|n| field(1, n)).collect();
    graph.extend(field(2, b"graph"));
    graph.extend(initializers.iter().flat_map(|t| field(5, t)));
    graph.extend(field(11, &value("x")));
    graph.extend(field(12, &value("y")));
    // IR version 8, operator set 13.
    let set = field(8, &[0x10, 13]);
    [&[0x08, 8][..], &field(7, &graph), &set].concat()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(bytes);
    field
}

fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|i| field(1, i.as_bytes())).collect();
    node.extend(field(2, output.as_bytes()));
    node.extend(field(4, op.as_bytes()));
    node
}

/// y = x + the sum of a constant tensor of `1 << bits` zeros.
fn swelling(bits: u32) -> Vec<u8> {
    let mut shape = vec![0x08, 1, 0x10, 7];
    shape.extend(field(8, b"shape"));
    shape.extend(field(9, &(1i64 << bits).to_le_bytes()));
    let nodes = [
        node("ConstantOfShape", &["shape"], "zeros"),
        node("ReduceSum", &["zeros"], "sum"),
        node("Add", &["x", "sum"], "y"),
    ];
    float_model(&nodes, &[shape])
}

#[test]
fn a_model_that_needs_too_much_memory_is_rejected_with_the_limit() {
    let at = folder();
    write(at.path(), "small.onnx", swelling(4));
    write(at.path(), "large.onnx", swelling(26));
    let inspected = atrous(&["inspect", "small.onnx"], b"", at.path());
    let stderr = String::from_utf8_lossy(&inspected.stderr);
    assert!(inspected.status.success(), "{stderr}");
    for command in [
        &["inspect", "large.onnx"][..],
        &["run", "-m", "large.onnx", "null:"],
    ] {
        let args = [command, &["--import-memory", "200"]].concat();
        let words = ["large.onnx", "200 MiB", "--import-memory"];
        refused(&args, b"", at.path(), MODEL, &words);
    }
    for limit in ["0", "1", "x"] {
        let args = ["inspect", "small.onnx", "--import-memory", limit];
        refused(&args, b"", at.path(), USAGE, &["--import-memory"]);
        let args = ["inspect", "small.onnx", "--import-timeout", "0"];
        refused(&args, b"", at.path(), USAGE, &["--import-timeout"]);
    }
}

#[test]
fn the_import_has_no_life_of_its_own() {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};

    let at = folder();
    refused(
        &[
            "import-worker",
            "--parent=1",
            "--memory=100",
            "--seconds=9",
            "x",
        ],
        b"",
        at.path(),
        RUNTIME,
        &["atrous compile"],
    );
    // Constants that take seconds to compute from each other.
    let mut shape = vec![0x08, 1, 0x10, 7];
    shape.extend(field(8, b"shape"));
    shape.extend(field(9, &(1i64 << 24).to_le_bytes()));
    let mut nodes = vec![node("ConstantOfShape", &["shape"], "c0")];
    for i in 0..200 {
        nodes.push(node("Tanh", &[&format!("c{i}")], &format!("c{}", i + 1)));
    }
    nodes.push(node("ReduceSum", &["c200"], "sum"));
    nodes.push(node("Add", &["x", "sum"], "y"));
    write(at.path(), "slow.onnx", float_model(&nodes, &[shape]));
    let args = ["inspect", "slow.onnx", "--import-timeout", "1"];
    let words = ["slow.onnx", "after 1 s", "--import-timeout"];
    refused(&args, b"", at.path(), MODEL, &words);

    let mut parent = std::process::Command::new(assert_cmd::cargo::cargo_bin("atrous"))
        .args(["inspect", "slow.onnx"])
        .current_dir(at.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let child = loop {
        let ids = std::fs::read_to_string(&children).unwrap_or_default();
        // Once it has its own name it has been tied to its parent, or soon will be.
        if let Some(id) = ids.split_whitespace().next() {
            break Pid::from_raw(id.parse().unwrap()).unwrap();
        }
        assert!(std::time::Instant::now() < deadline, "no child");
    };
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(test_kill_process(child).is_ok(), "it is at work");
    kill_process(Pid::from_child(&parent), Signal::KILL).unwrap();
    parent.wait().unwrap();
    while test_kill_process(child).is_ok() {
        // A process that nobody waits for may stay as a zombie.
        let state = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_pid()));
        if state.is_ok_and(|s| s.contains(") Z")) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the child lives on");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn rules_that_cannot_work() {
    let at = folder();
    let good = "[[rule]]\nname = \"stop\"\nclasses = [\"Car\"]\non = 0.2\noff = 0.1\n\
                region = [[0.1, 0.5], [0.9, 0.5], [0.5, 1.0]]\n";
    let run = |text: &str, words: &[&str]| {
        write(at.path(), "c.toml", text);
        let args = [
            "run", "--config", "c.toml", "--model", "truth", "-n", "1", "null:",
        ];
        refused(&args, b"", at.path(), USAGE, words);
    };
    run(
        &good.replace("Car", "Tank"),
        &["stop", "Tank", "Pedestrian"],
    );
    run(&good.replace(", [0.5, 1.0]]", "]"), &["stop", "2"]);
    run(
        &good.replace("on = 0.2", "on = 0.05"),
        &["stop", "on", "off"],
    );
    run(&good.replace("0.9, 0.5", "1.9, 0.5"), &["stop", "1.9"]);
    run(&format!("{good}pin = \"GPIO17\"\n"), &["stop", "GPIO17"]);
    run(&format!("{good}colour = 1\n"), &["colour", "line 7"]);
    write(at.path(), "c.toml", good);
    let args = [
        "run", "--config", "c.toml", "--model", "truth", "-n", "2", "--json", "null:",
    ];
    let lines = json_lines(&atrous(&args, b"", at.path()));
    assert_eq!(lines[1]["rules"][0]["name"], "stop");
}

#[test]
fn a_dry_line_tells_its_edges() {
    let at = folder();
    let config = "dry_run_gpio = true\n[[rule]]\nname = \"road\"\nclasses = [\"Road\"]\non = 0.01\n\
                  off = 0.005\nsafe = \"low\"\npin = { chip = \"pinctrl-rp1\", line = 17 }\n";
    write(at.path(), "c.toml", config);
    let args = [
        "run", "--config", "c.toml", "--model", "truth", "-n", "3", "null:",
    ];
    let output = atrous(&args, b"", at.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let edges: Vec<&str> = stderr
        .lines()
        .filter(|l| l.contains("pinctrl-rp1:17"))
        .collect();
    assert_eq!(
        edges.len(),
        3,
        "safe at the start, on, safe at the end: {stderr}"
    );
    assert!(edges[0].contains("low") && edges[1].contains("high") && edges[2].contains("low"));
}

#[test]
fn config_init_writes_what_check_accepts() {
    let at = folder();
    let init = atrous(&["config", "init"], b"", at.path());
    assert!(init.status.success());
    refused(&["config", "init"], b"", at.path(), USAGE, &["exists"]);
    if cfg!(feature = "bundled") {
        let check = atrous(&["config", "check"], b"", at.path());
        assert!(
            check.status.success(),
            "{}",
            String::from_utf8_lossy(&check.stderr)
        );
    }
    let show = atrous(&["config", "show", "--json"], b"", at.path());
    let value: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!(value["alpha"]["origin"], "atrous.toml");
    assert_eq!(value["frames"]["origin"], "default");
}

#[test]
fn outputs_that_cannot_be() {
    let at = folder();
    let run = |sink: &str, code, words: &[&str]| {
        let args = [
            "run",
            "synthetic://road?pace=demand",
            sink,
            "--model",
            "truth",
            "-n",
            "2",
        ];
        refused(&args, b"", at.path(), code, words);
    };
    write(at.path(), "file", "in the way");
    run("file/", RUNTIME, &["file"]);
    run("ftp://host/", USAGE, &["ftp"]);
    run("mask_%d_%d.png", USAGE, &["%"]);
}

#[test]
fn pictures_that_a_shell_made_sinks_of_stay() {
    let at = folder();
    for name in ["a.jpg", "b.jpg", "c.jpg"] {
        write(at.path(), name, name);
    }
    std::os::unix::fs::symlink("nowhere", at.path().join("link.png")).unwrap();
    let run = |args: &[&str], words: &[&str]| {
        let args = [&["run"], args].concat();
        refused(&args, b"", at.path(), USAGE, words);
    };
    run(
        &["a.jpg", "b.jpg", "c.jpg"],
        &["b.jpg", "exists already", "quote it: '*.jpg'"],
    );
    run(&["a.jpg", "b.jpg", "out/"], &["b.jpg", "exists already"]);
    run(&["a.jpg", "./a.jpg"], &["a.jpg", "source itself"]);
    run(&["a.jpg", "link.png"], &["link.png", "exists already"]);
    run(
        &["a.jpg", "x.png", "y.png"],
        &["x.png", "y.png", "quote it"],
    );
    for name in ["a.jpg", "b.jpg", "c.jpg"] {
        let text = std::fs::read_to_string(at.path().join(name)).unwrap();
        assert_eq!(text, name);
    }
    assert!(!at.path().join("out").exists());
}

#[test]
fn a_new_single_file_takes_one_result() {
    let at = folder();
    let args = ["run", "--model", "truth", "-n", "1"];
    let scene = "synthetic://road?pace=demand";
    let run = || atrous(&[&args[..], &[scene, "mask.png"]].concat(), b"", at.path());
    assert!(run().status.success());
    assert_eq!(run().status.code(), Some(USAGE));
}

/// A device that is always full.
fn full() -> std::fs::File {
    std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
}

#[test]
fn full_and_closed_outputs_end_in_no_panic() {
    let at = folder();
    let command = |args: &[&str]| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("atrous"));
        command.args(args).current_dir(at.path());
        command
    };
    // Nobody reads stderr: the exit code is the same.
    let truth = ["run", "--model", "truth", "-n", "2", "null:"];
    let status = command(&truth).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let status = command(&["run", "missing.png"])
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(USAGE));

    let commands: [&[&str]; 4] = [
        &["devices"],
        &["devices", "--json"],
        &["config", "show"],
        &["config", "init", "full.toml"],
    ];
    for args in commands {
        let output = command(args).stdout(full()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(RUNTIME), "{args:?}: {stderr}");
        assert!(stderr.contains("stdout"), "{args:?}: {stderr}");
        // A reader that has gone is no fault.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let _ = std::fs::remove_file(at.path().join("full.toml"));
        let output = command(args).stdout(writer).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let at = folder();
    for args in [
        ["run", "evil\x1b[2J\u{9b}.png"],
        ["inspect", "evil\x1b[2J.onnx"],
        ["config", "check"],
    ] {
        write(
            at.path(),
            "atrous.toml",
            "[[rule]]\nname = \"\\u001b[2J\"\nclasses = []\non = 0.2\noff = 0.1\n",
        );
        let output = atrous(&args, b"", at.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(stderr.contains("\\u{1b}[2J"), "{args:?}: {stderr}");
        assert!(
            !stderr.contains(|c: char| c.is_control() && c != '\n'),
            "{args:?}: {stderr:?}"
        );
    }
}

#[test]
fn without_a_terminal_and_a_sink_results_are_counted() {
    let at = folder();
    let args = ["run", "--model", "truth", "-n", "3"];
    let output = atrous(&args, b"", at.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(output.stdout.is_empty());
    for word in ["--json", "out/", "atrous run camera", "results 3"] {
        assert!(stderr.contains(word), "'{word}': {stderr}");
    }
    // Who names the terminal gets the drawing, once.
    let output = atrous(&[&args[..], &["terminal:"]].concat(), b"", at.path());
    assert!(String::from_utf8_lossy(&output.stdout).contains("#2"));
}

#[test]
fn names_that_say_nothing_and_the_boards_camera() {
    let at = folder();
    refused(
        &["run", "-m", ""],
        b"",
        at.path(),
        USAGE,
        &["model", "name is empty"],
    );
    write(
        at.path(),
        "atrous.toml",
        "source = \"camera\"\nboard = \"host\"\n",
    );
    let show = atrous(&["config", "show", "--json"], b"", at.path());
    let value: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!(value["source"]["value"], "/dev/video0");
    assert_eq!(value["source"]["origin"], "board host");
}

#[test]
fn check_sees_what_run_would_refuse() {
    let at = folder();
    let check = |text: &str| {
        write(at.path(), "atrous.toml", text);
        atrous(&["config", "check"], b"", at.path())
    };
    let truth = "model = \"truth\"\n[[rule]]\nname = \"a\"\nclasses = [\"Car\"]\n\
                 on = 0.2\noff = 0.1\n";
    let output = check(truth);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 rule,"),
        "{output:?}"
    );
    for (text, word) in [
        (
            "model = \"truth\"\nsinks = [\"a.jpg\"]\nvisualize = [\"index\"]\n",
            ".png",
        ),
        ("model = \"truth\"\nsource = \"a.png\"\n", "synthetic"),
    ] {
        let output = check(text);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(USAGE), "{stderr}");
        assert!(stderr.contains(word), "{stderr}");
    }
}

#[test]
fn signals_end_a_run_cleanly_however_many_come() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::BufRead;

    let at = folder();
    for signal in [Signal::TERM, Signal::QUIT, Signal::INT] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("atrous"))
            .args(["run", "--model", "truth", "synthetic://road", "null:"])
            .current_dir(at.path())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("fps"));
        let id = Pid::from_child(&child);
        for _ in 0..3 {
            // It may have ended by the last one, but is not waited for yet.
            kill_process(id, signal).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal:?}");
        assert!(lines.next().unwrap().unwrap().contains("results"));
    }
}

#[test]
fn hup_reloads_the_rules_and_nothing_else() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::BufRead;

    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    if u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap() & 1 == 1 {
        println!("skipped: the tests were started with SIGHUP ignored, as nohup does");
        return;
    }
    let at = folder();
    let rule = |name: &str, line: u32| {
        format!(
            "[[rule]]\nname = \"{name}\"\nclasses = [\"Road\"]\non = 0.01\noff = 0.005\n\
             safe = \"low\"\npin = {{ chip = \"c\", line = {line} }}\n"
        )
    };
    let head = "dry_run_gpio = true\nalpha = 0.5\n";
    let (one, two) = (rule("one", 1), rule("two", 2));
    write(at.path(), "c.toml", format!("{head}{one}{two}"));
    let args = [
        "run",
        "-c",
        "c.toml",
        "-m",
        "truth",
        "synthetic://road",
        "null:",
    ];
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("atrous"))
        .args(args)
        .current_dir(at.path())
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let id = Pid::from_child(&child);
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let mut until = |word: &str| {
        let mut before = Vec::new();
        loop {
            let line = lines.next().expect("it goes on").unwrap();
            before.push(line);
            if before.last().is_some_and(|line| line.contains(word)) {
                return before;
            }
        }
    };
    let told = |lines: &[String], word: &str| lines.iter().any(|line| line.contains(word));
    until("fps");
    // Rules that cannot work leave those there are alone.
    write(
        at.path(),
        "c.toml",
        format!("{head}{}", one.replace("Road", "Rode")),
    );
    kill_process(id, Signal::HUP).unwrap();
    let lines = until("the old ones stay");
    assert!(
        told(&lines, "Rode") && !told(&lines, "c:1 one"),
        "{lines:?}"
    );

    let head = head.replace("0.5", "0.75");
    write(
        at.path(),
        "c.toml",
        format!("{head}{one}{}", rule("three", 3)),
    );
    kill_process(id, Signal::HUP).unwrap();
    let lines = until("c:3 three -> high");
    assert!(told(&lines, "alpha needs a restart"), "{lines:?}");
    assert!(told(&lines, "c:2 two -> low"), "{lines:?}");
    assert!(!told(&lines, "c:1 one"), "{lines:?}");

    kill_process(id, Signal::TERM).unwrap();
    assert!(!told(&until("stopped"), "c:2"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Two cameras on one model, each with a rule.
const TWO: &str = r#"
model = "truth?delay_ms=1"
dry_run_gpio = true
[[pipeline]]
name = "front"
source = "synthetic://road?size=64x48&pace=demand&frames=5"
sinks = ["front/", "json:"]
[[pipeline.rule]]
name = "road"
classes = ["Road"]
on = 0.1
off = 0.05
max_age_ms = 5000
pin = { chip = "test", line = 1 }
safe = "low"
[[pipeline]]
name = "rear"
source = "synthetic://road?size=64x48&pace=demand&frames=3&seed=4"
sinks = ["rear/", "json:"]
[[pipeline.rule]]
name = "road"
classes = ["Road"]
on = 0.1
off = 0.05
max_age_ms = 5000
pin = { chip = "test", line = 2 }
safe = "low"
"#;

#[test]
fn several_pipelines_run_side_by_side() {
    let folder = folder();
    let config = write(folder.path(), "two.toml", TWO);
    let config = config.to_str().unwrap();
    let output = atrous(&["run", "-c", config, "--json"], b"", folder.path());
    let lines = json_lines(&output);
    for (name, results) in [("front", 5), ("rear", 3)] {
        let of_one = lines.iter().filter(|line| line["pipeline"] == name);
        assert_eq!(of_one.count(), results, "{name}");
        let pictures = folder.path().join(name).read_dir().unwrap();
        assert_eq!(pictures.count(), results, "{name}");
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = |name: &str| {
        let of_one = format!(r#""pipeline":"{name}""#);
        let mut lines = stderr.lines().filter(|line| line.contains(&of_one));
        lines.next_back().unwrap_or_default().to_owned()
    };
    assert!(last("front").contains(r#""inferred":5"#), "{stderr}");
    assert!(last("rear").contains(r#""inferred":3"#), "{stderr}");
    // On and safe again, each on its own pin.
    for pin in ["test:1", "test:2"] {
        let edges = stderr.lines().filter(|line| line.contains(pin)).count();
        assert_eq!(edges, 3, "{pin}: {stderr}");
    }
    let output = atrous(&["config", "check", config], b"", folder.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("'front' valid") && text.contains("'rear' valid"),
        "{text}"
    );
    let output = atrous(&["config", "show", config, "--json"], b"", folder.path());
    let shown = &json_lines(&output)[0];
    assert_eq!(shown["rear"]["engine"]["value"], "shared");
    assert_eq!(shown["front"]["source"]["origin"], config);
}

#[test]
fn pipelines_that_are_in_each_others_way() {
    let folder = folder();
    let try_with = |from: &str, to: &str, words: &[&str]| {
        let config = write(folder.path(), "two.toml", TWO.replace(from, to));
        let config = config.to_str().unwrap();
        refused(&["run", "-c", config], b"", folder.path(), USAGE, words);
        refused(
            &["config", "check", config],
            b"",
            folder.path(),
            USAGE,
            words,
        );
    };
    try_with("line = 2", "line = 1", &["test:1", "'front'", "'rear'"]);
    try_with("rear/", "./front", &["./front", "'front'", "'rear'"]);
    try_with("rear/", "terminal:", &["terminal:", "'rear'"]);
    let both = TWO.replace("front/", "measure:a.csv?min_area=2");
    let config = write(
        folder.path(),
        "two.toml",
        both.replace("rear/", "measure:a.csv"),
    );
    let config = config.to_str().unwrap();
    let words = ["measure:a.csv", "'front'", "'rear'"];
    refused(&["run", "-c", config], b"", folder.path(), USAGE, &words);
    try_with("\"rear\"", "\"front\"", &["'front'", "another pipeline"]);
    let config = write(folder.path(), "two.toml", TWO);
    let config = config.to_str().unwrap();
    for place in ["null:", "a.png"] {
        refused(
            &["run", place, "-c", config],
            b"",
            folder.path(),
            USAGE,
            &["front"],
        );
    }
    refused(
        &["eval", "-c", config, "--images", ".", "--labels", "."],
        b"",
        folder.path(),
        USAGE,
        &[],
    );
}

#[test]
fn a_scheduler_that_refuses_is_told_or_ends_the_run() {
    let folder = folder();
    let run = |text: &str| {
        let config = write(folder.path(), "rt.toml", text);
        let config = config.to_str().unwrap().to_owned();
        let source = "synthetic://road?size=64x48&pace=demand&frames=2";
        let args = ["run", source, "null:", "-m", "truth", "-c", &config];
        atrous(&args, b"", folder.path())
    };
    // No machine here has that many processors.
    let absent = "[realtime]\nlock_memory = false\npriority = 0\ninference_cores = [1000]\nother_cores = []\n";
    let output = run(absent);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("refused") && stderr.contains("1000"),
        "{stderr}"
    );
    let output = run(&format!("{absent}required = true\n"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("1000"), "{stderr}");
    // Whatever is granted here, the results are the same.
    let output = run("[realtime]\n");
    assert!(output.status.success());
    let output = run("[realtime]\npriority = 99\n");
    assert_eq!(output.status.code(), Some(USAGE));
}

#[test]
fn stats_are_a_line_for_a_person_or_an_object() {
    let at = folder();
    let run = [
        "run",
        "-m",
        "truth",
        "-n",
        "20",
        "synthetic://road?pace=demand",
    ];
    let output = atrous(&[&["--json"], &run[..]].concat(), b"", at.path());
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 20);
    assert!(
        lines
            .iter()
            .all(|l| l["state"] == "live" && l["stamp"] == "arrival")
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    let last: serde_json::Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    let stats = &last["stats"];
    assert_eq!(
        (&stats["state"], &stats["final"]),
        (&"stopped".into(), &true.into())
    );
    assert_eq!(stats["frames"]["inferred"], 20);
    assert!(stats["age_ms"]["p99"].as_f64() >= stats["age_ms"]["p50"].as_f64());
    assert!(stats["edge_ms"].is_null(), "no rule, no edge");
}

#[test]
fn displays_are_sinks_and_two_on_one_card_are_refused_before_the_first_opens() {
    let at = folder();
    let scene = "synthetic://road?size=64x48&frames=1";
    let run = |sinks: &[&str]| {
        let args = [&["run", scene], sinks, &["-m", "truth"]].concat();
        let output = atrous(&args, b"", at.path());
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = run(&["display:///dev/null", "display:///dev/../dev/null"]);
    assert_eq!(code, Some(USAGE), "{text}");
    assert!(text.contains("one sink's pictures"), "{text}");
    let (code, text) = run(&["display:?size=1x1"]);
    assert_eq!(code, Some(USAGE), "{text}");
    // Alone, a display is no source.
    for (sink, word) in [
        ("display:///dev/null", "no graphics card"),
        ("fb:///dev/null", "no framebuffer"),
    ] {
        let output = atrous(&["run", sink, "-m", "truth"], b"", at.path());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(RUNTIME), "{text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn devices_and_doctor_answer_on_any_machine() {
    let at = folder();
    let output = atrous(&["devices", "--json"], b"", at.path());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["cpu"]["cores"].as_u64().unwrap() >= 1, "{value}");
    let output = atrous(&["doctor", "--json"], b"", at.path());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["checks"].as_array().unwrap().len() >= 4, "{value}");
}

#[test]
fn help_names_the_commands_and_exit_codes() {
    let at = folder();
    let text = String::from_utf8(atrous(&["--help"], b"", at.path()).stdout).unwrap();
    for word in [
        "run",
        "inspect",
        "devices",
        "doctor",
        "config",
        "Exit codes",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(atrous(&["fly"], b"", at.path()).status.code(), Some(USAGE));
}

#[cfg(feature = "bundled")]
mod with_the_built_in_model {
    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]))
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture(48, 32).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn road_onnx() -> Vec<u8> {
        std::fs::read("models/road/road.onnx").unwrap()
    }

    fn road_manifest() -> String {
        std::fs::read_to_string("models/road/model.toml").unwrap()
    }

    #[test]
    fn the_built_in_model_segments_the_built_in_scene() {
        let at = folder();
        let lines = json_lines(&atrous(
            &["run", "--frames", "3", "--json", "null:"],
            b"",
            at.path(),
        ));
        assert_eq!(lines.len(), 3);
        for line in &lines {
            assert!(
                line["truth"]["pixel_accuracy"].as_f64().unwrap() > 0.6,
                "{line}"
            );
        }
    }

    #[test]
    fn a_picture_becomes_a_mask_of_its_own_size() {
        let at = folder();
        picture(97, 61).save(at.path().join("photo.png")).unwrap();
        let output = atrous(
            &["run", "photo.png", "out/", "--visualize", "mask,index"],
            b"",
            at.path(),
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let index = image::open(at.path().join("out/photo_index.png")).unwrap();
        assert_eq!((index.width(), index.height()), (97, 61));
        assert!(index.as_luma8().unwrap().pixels().all(|p| p.0[0] < 11));
        assert!(at.path().join("out/photo_mask.png").exists());
        assert_eq!(std::fs::read_dir(at.path().join("out")).unwrap().count(), 2);
    }

    #[test]
    fn broken_pictures() {
        let at = folder();
        for (name, format) in [
            ("cut.png", ImageFormat::Png),
            ("cut.jpg", ImageFormat::Jpeg),
        ] {
            let bytes = encoded(format);
            for keep in [bytes.len() / 2, bytes.len() - 20, 3, 0] {
                write(at.path(), name, &bytes[..keep]);
                refused(&["run", name, "null:"], b"", at.path(), RUNTIME, &[name]);
            }
        }
        write(at.path(), "text.png", "this is not a picture");
        refused(
            &["run", "text.png", "null:"],
            b"",
            at.path(),
            RUNTIME,
            &["text.png"],
        );
    }

    #[test]
    fn a_bad_picture_in_a_folder_is_named_and_the_rest_is_done() {
        let at = folder();
        std::fs::create_dir(at.path().join("in")).unwrap();
        let good = encoded(ImageFormat::Png);
        write(at.path(), "in/a.png", &good);
        write(at.path(), "in/b.png", &good[..good.len() / 2]);
        write(at.path(), "in/c.png", &good);
        let args = ["run", "in", "out/", "--visualize", "index"];
        refused(&args, b"", at.path(), RUNTIME, &["b.png", "1 of 3"]);
        assert!(at.path().join("out/a_index.png").exists());
        assert!(at.path().join("out/c_index.png").exists());
        assert_eq!(std::fs::read_dir(at.path().join("out")).unwrap().count(), 2);
        // Numbers that would fall on the source's own pictures are refused.
        write(at.path(), "in/0.png", &good);
        let args = ["run", "in", "in/%d.png"];
        refused(&args, b"", at.path(), RUNTIME, &["0.png", "of the source"]);
        assert_eq!(std::fs::read(at.path().join("in/0.png")).unwrap(), good);
    }

    #[test]
    fn an_mjpeg_stream_goes_on_after_a_broken_frame() {
        let at = folder();
        let jpeg = encoded(ImageFormat::Jpeg);
        let cut = &jpeg[..jpeg.len() * 2 / 3];
        let stream = [&jpeg, cut, &jpeg].concat();
        let lines = json_lines(&atrous(
            &["run", "-", "null:", "--json"],
            &stream,
            at.path(),
        ));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["frames"]["bad"], 1, "{}", lines[1]);
    }

    #[test]
    fn models_that_do_not_match_their_manifest() {
        let at = folder();
        let onnx = road_onnx();
        let manifest = road_manifest();
        let inspect = |model: &str, words: &[&str]| {
            refused(&["inspect", model], b"", at.path(), MODEL, words);
        };

        write(at.path(), "half.onnx", &onnx[..onnx.len() / 2]);
        inspect("half.onnx", &["half.onnx", "part"]);

        write(at.path(), "road.onnx", &onnx);
        write(at.path(), "model.toml", &manifest);
        let output = atrous(&["inspect", "model.toml"], b"", at.path());
        assert!(output.status.success());

        write(
            at.path(),
            "model.toml",
            manifest.replacen("format = 1", "format = 1\ncolour = 2", 1),
        );
        inspect("model.toml", &["model.toml", "colour", "line 2"]);

        let sha = manifest.lines().find(|l| l.starts_with("sha256")).unwrap();
        let wrong = format!("sha256 = \"{}\"", "0".repeat(64));
        write(at.path(), "model.toml", manifest.replace(sha, &wrong));
        inspect("model.toml", &["road.onnx", "SHA-256"]);

        write(
            at.path(),
            "model.toml",
            manifest.replacen("name = \"Sky\"", "name = \"Road\"", 1),
        );
        inspect("model.toml", &["Road", "twice"]);

        write(
            at.path(),
            "model.toml",
            manifest.replacen("height = 361", "height = 353", 1),
        );
        let output = atrous(&["inspect", "model.toml"], b"", at.path());
        assert_eq!(
            output.status.code(),
            Some(MODEL),
            "the graph's own sizes are fixed"
        );
    }
}

#[test]
fn masks_are_refined_where_asked() {
    let folder = folder();
    let coverage = |flags: &[&str]| {
        let mut args = vec!["run", "synthetic://road?size=96x64&seed=3", "json:"];
        args.extend(["-m", "truth", "-n", "1", "--quiet"]);
        args.extend(flags);
        let output = atrous(&args, b"", folder.path());
        let lines = json_lines(&output);
        let result = lines.iter().find(|line| line.get("coverage").is_some());
        result.expect("a result")["coverage"].clone()
    };
    let plain = coverage(&[]);
    // The scene's truth is the best class everywhere, and stays so without iterations.
    assert_eq!(coverage(&["--crf", "--crf-iterations", "0"]), plain);
    // One score more is little beside what the neighbours say.
    assert_ne!(coverage(&["--crf"]), plain);

    let run = ["run", "synthetic://road", "null:", "-m", "truth"];
    for (flags, word) in [
        (&["--crf", "--crf-iterations", "101"][..], "101"),
        (&["--crf", "--crf-iterations", "-1"], "-1"),
        (&["--crf-iterations", "3"], "--crf"),
    ] {
        let args = [&run[..], flags].concat();
        refused(&args, b"", folder.path(), USAGE, &[word]);
    }
}
