//! What the tools print, from what is typed.

mod common;

use std::ffi::OsString;
use std::path::PathBuf;

use cli::console::Console;
use cli::{Exit, Program};
use common::*;

#[test]
fn dialogues() {
    let site = site("dialogues", &[("mappings", MAPPINGS)]);
    // name, command line, input, standard output, exit code
    let cases: &[(&str, &str, &str, &str, u8)] = &[
        (
            "the manual's look-ups",
            "test -mapping -table=INTERNAL_IP -noimage_file",
            "192.45.67.89\n10.1.1.1\n",
            "Input string: Output string: \nOutput flags: [0, 'Y' (89)]\n\
             Input string: Output string: \nOutput flags: [0, 'N' (78)]\n\
             Input string: ",
            0,
        ),
        (
            "the manual's prompt for a table, three matches",
            "test -mapping -noimage_file",
            "SMS_TEXT\nH|From: \"John C. Doe\" <jdoe@siroe.com> (Hello)\n",
            "Enter table name: Input string: Output string: H|F:jdoe\n\
             Output flags: [0, 1, 2, 'Y' (89)]\nInput string: ",
            0,
        ),
        (
            "flags in ascending order of their codes",
            "test -mapping -table=deny x",
            "",
            "Output string: No relay\nOutput flags: [0, ',' (44), '<' (60), 'N' (78), 'X' (88)]\n",
            0,
        ),
        (
            "no match: the input, and no flags",
            "test -mapping -table=SMS_TEXT plain",
            "",
            "Output string: plain\nOutput flags: []\n",
            0,
        ),
        (
            "an empty input is an input",
            "test -mapping -table=DENY",
            "\n",
            "Input string: Output string: No relay\n\
             Output flags: [0, ',' (44), '<' (60), 'N' (78), 'X' (88)]\nInput string: ",
            0,
        ),
        (
            "an input flag",
            "test -mapping -table=FLAGS -flags=EB x",
            "",
            "Output string: ENV\nOutput flags: [0, 'Y' (89)]\n",
            0,
        ),
        (
            "no input flags",
            "test -mapping -table=FLAGS -flags=E -noflags x",
            "",
            "Output string: HDR\nOutput flags: [0, 1, 'N' (78)]\n",
            0,
        ),
        (
            "end of input at the table",
            "test -mapping",
            "",
            "Enter table name: ",
            0,
        ),
        (
            "a table that does not exist",
            "test -mapping",
            "FLAGZ\nx\n",
            "Enter table name: ",
            1,
        ),
        (
            "JSON has no prompts",
            "test -mapping -table=FLAGS --flags EB --json",
            "x\ny\n",
            "{\"table\":\"FLAGS\",\"input\":\"x\",\"flags_in\":\"BE\",\"matched\":true,\"output\":\"ENV\",\"flags\":\"Y\",\"error\":null}\n\
             {\"table\":\"FLAGS\",\"input\":\"y\",\"flags_in\":\"BE\",\"matched\":true,\"output\":\"ENV\",\"flags\":\"Y\",\"error\":null}\n",
            0,
        ),
        (
            "JSON without a match",
            "test -mapping -table=SMS_TEXT -json x",
            "",
            "{\"table\":\"SMS_TEXT\",\"input\":\"x\",\"flags_in\":\"\",\"matched\":false,\"output\":null,\"flags\":\"\",\"error\":null}\n",
            0,
        ),
        (
            "the trace names places",
            "test -mapping -table=INTERNAL_IP -debug 10.0.0.1",
            "",
            "INTERNAL_IP applied to \"10.0.0.1\"  [SITE/config/mappings:1:1]\n\
             \x20 entry #1 does not match\n\
             \x20 entry #2 matched, match #0: pattern \"*\", template \"$N\"  [SITE/config/mappings:4:3]\n\
             \x20   field 0 = \"10.0.0.1\"\n\
             \x20   sets flag N  [SITE/config/mappings:4:6]\n\
             \x20   new string \"\"\n\
             \x20 result \"\", flags [N]\n\
             Output string: \nOutput flags: [0, 'N' (78)]\n",
            0,
        ),
        (
            "match",
            "test -match",
            "a$D*\nA12\n\nb\n",
            "Pattern: [  1] \"a\"\n[  2S] cglob [0123456789]\nTarget: Match.\n0 - 12\n\
             Pattern: [  1] \"a\"\n[  2S] cglob [0123456789]\nTarget: No match.\nPattern: ",
            0,
        ),
        (
            "a wrong pattern is asked for again, and does not take the place of the last one",
            "test -match",
            "x\nx\n$(1.2\n\nx\n",
            "Pattern: [  1] \"x\"\nTarget: Match.\nPattern: Pattern: [  1] \"x\"\nTarget: Match.\nPattern: ",
            0,
        ),
        (
            "end of input at a target",
            "test -match",
            "x",
            "Pattern: [  1] \"x\"\nTarget: ",
            0,
        ),
        (
            "match on the command line",
            "test -match x% XY",
            "",
            "[  1] \"x\"\n[  2S] char\nMatch.\n0 - Y\n",
            0,
        ),
        (
            "no match on the command line",
            "test -match x y",
            "",
            "[  1] \"x\"\nNo match.\n",
            1,
        ),
        (
            "a pattern on the command line, targets prompted for",
            "test -match x",
            "x\ny\n",
            "[  1] \"x\"\nTarget: Match.\nTarget: No match.\nTarget: ",
            0,
        ),
        (
            "a wrong pattern on the command line",
            "test -match $(1 y",
            "",
            "",
            2,
        ),
        (
            "pairs for JSON: an empty pattern is one, a wrong one keeps its target",
            "test -match -json",
            "*@*\na@b\n\n\n$(1\nx\n",
            "{\"pattern\":\"*@*\",\"target\":\"a@b\",\"matched\":true,\"fields\":[\"a\",\"b\"]}\n\
             {\"pattern\":\"\",\"target\":\"\",\"matched\":true,\"fields\":[]}\n\
             {\"pattern\":\"$(1\",\"target\":\"x\",\"matched\":false,\"fields\":[],\
             \"error\":\"`$(` begins a network, but its end is missing\"}\n",
            0,
        ),
        (
            "the tool's name, shortened",
            "test -mat x x",
            "",
            "[  1] \"x\"\nMatch.\n",
            0,
        ),
        (
            "the tool's name, elsewhere and in capitals",
            "test x -json x --MATCH",
            "",
            "{\"pattern\":\"x\",\"target\":\"x\",\"matched\":true,\"fields\":[]}\n",
            0,
        ),
    ];
    for (name, args, input, expected, code) in cases {
        let ran = imsimta(&site, args, input);
        let out = ran.out.replace(&site.display().to_string(), "SITE");
        assert_eq!(out, *expected, "{name}; errors: {}", ran.err);
        assert_eq!(ran.exit.code(), *code, "{name}; errors: {}", ran.err);
    }
}

#[test]
fn at_a_terminal_the_last_prompt_ends_its_line() {
    let site = site("terminal", &[("mappings", MAPPINGS)]);
    for (args, expected) in [
        (&["test", "-match"][..], "Pattern: \n"),
        (&["test", "-mapping", "-table=DENY"], "Input string: \n"),
    ] {
        let ran = run(Program::Imsimta, &site, args, "", true);
        assert_eq!((ran.out.as_str(), ran.exit), (expected, Exit::Ok));
    }
}

#[test]
fn files_in_and_out() {
    let site = site("files", &[("mappings", MAPPINGS)]);
    let (input, output) = (site.join("in"), site.join("out"));
    std::fs::write(&input, "x\r\ny").unwrap();
    let args = format!(
        "test -mapping -table=FLAGS -input={} -output={}",
        input.display(),
        output.display()
    );
    let ran = imsimta(&site, &args, "not read");
    assert_eq!((ran.out.as_str(), ran.exit), ("", Exit::Ok), "{}", ran.err);
    let one = "Output string: HDR\nOutput flags: [0, 1, 'N' (78)]\n";
    assert_eq!(std::fs::read_to_string(&output).unwrap(), one.repeat(2));
}

#[test]
fn the_configuration_is_read_again() {
    // the input is the mapping file of a look-up of its own: a reload is seen between two lines only by
    // a reader that edits the file in between
    struct Editing {
        lines: Vec<(&'static str, &'static str)>,
        file: PathBuf,
        buffer: Vec<u8>,
    }
    impl std::io::Read for Editing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            unreachable!("lines are read through the buffer")
        }
    }
    impl std::io::BufRead for Editing {
        fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
            if self.buffer.is_empty() && !self.lines.is_empty() {
                let (text, line) = self.lines.remove(0);
                std::fs::write(&self.file, text)?;
                self.buffer = line.as_bytes().to_vec();
            }
            Ok(&self.buffer)
        }
        fn consume(&mut self, n: usize) {
            self.buffer.drain(..n);
        }
    }
    let site = site("reload", &[("mappings", "T\n\n  *  first\n")]);
    let mut input = Editing {
        lines: vec![
            ("T\n\n  *  second\n", "a\n"),
            ("T\n  *  third\n", "b\n"),
            ("T\n\n  *  fourth\n", "c\n"),
        ],
        file: site.join("config/mappings"),
        buffer: Vec::new(),
    };
    let args: Vec<OsString> = ["test", "-mapping", "-table=T", "-reload", "-json"]
        .map(OsString::from)
        .into();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = cli::run(
        Program::Imsimta,
        &args,
        &mut Console {
            input: &mut input,
            out: &mut out,
            err: &mut err,
            interactive: false,
            colour: false,
            colour_out: false,
            site: site.clone(),
        },
    );
    let out = String::from_utf8(out).unwrap();
    let outputs: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(outputs[0]["output"], "second");
    assert_eq!(outputs[1]["output"], serde_json::Value::Null);
    assert!(
        outputs[1]["error"].as_str().unwrap().contains("does not load"),
        "{out}"
    );
    assert_eq!(outputs[2]["output"], "fourth");
    assert_eq!(exit, Exit::Config);
}
