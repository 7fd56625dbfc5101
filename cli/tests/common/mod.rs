//! A console of strings, and sites for it.
#![allow(dead_code)] // each test file uses a part

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cli::console::Console;
use cli::{Exit, Program};

/// A directory of this test alone, made anew.
pub fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(path.join("config")).unwrap();
    path
}

/// A site with these files in `config`.
pub fn site(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = directory(name);
    for (file, text) in files {
        std::fs::write(path.join("config").join(file), text).unwrap();
    }
    path
}

pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

pub fn run(program: Program, site: &Path, args: &[&str], input: &str, interactive: bool) -> Ran {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = cli::run(
        program,
        &args,
        &mut Console {
            input: &mut input.as_bytes(),
            out: &mut out,
            err: &mut err,
            interactive,
            colour: false,
            colour_out: false,
            site: site.to_path_buf(),
        },
    );
    Ran {
        exit,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

pub fn imsimta(site: &Path, args: &str, input: &str) -> Ran {
    let args: Vec<&str> = args.split_whitespace().collect();
    run(Program::Imsimta, site, &args, input, false)
}

pub const MAPPINGS: &str = "\
INTERNAL_IP

  $(192.45.67.80/28)  $Y
  *  $N

SMS_TEXT

  H|From:*     H|F:$0$R$Y
  H|F:*<*>*    H|F:$1$R$Y
  H|F:*@*      H|F:$0$R$Y
  H|%:$ *      H|$0:$1$R$Y

FLAGS

  *  $C$:E$YENV$E
  *  $NHDR

DENY

  *  $NNo$ $,$<relay$X
";

/// A control socket that answers with what a table says and keeps what it was asked.
pub struct FakeServer {
    asked: std::sync::Arc<std::sync::Mutex<Vec<serde_json::Value>>>,
}

impl FakeServer {
    /// Serves the control socket of a site; `answer` is given each request. It ends with the test.
    pub fn start(
        site: &Path,
        answer: impl Fn(&serde_json::Value) -> serde_json::Value + Send + 'static,
    ) -> FakeServer {
        use std::io::{BufRead, BufReader, Write};
        std::fs::create_dir_all(site.join("run")).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(site.join("run/control")).unwrap();
        let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = std::sync::Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut line = String::new();
                if BufReader::new(&stream).read_line(&mut line).is_err() || line.is_empty() {
                    continue;
                }
                let request = serde_json::from_str(&line).unwrap_or_default();
                let response = answer(&request);
                kept.lock().unwrap().push(request);
                let _ = writeln!(stream, "{response}");
            }
        });
        FakeServer { asked }
    }

    /// What it was asked since the last call, `do` of each and its ids or channel.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap();
        let words = asked.drain(..).map(|request| {
            let mut text = request["do"].as_str().unwrap_or("?").to_string();
            for key in ["ids", "channel"] {
                if !request[key].is_null() {
                    text += &format!(" {}", request[key]);
                }
            }
            text
        });
        words.collect()
    }
}

/// A whole site, as `sluice up` makes one.
pub fn new_site(name: &str) -> PathBuf {
    let path = directory(name);
    std::fs::remove_dir_all(&path).unwrap();
    let new = mta::up::NewSite {
        host: "mail.example.com".into(),
        domain: "example.com".into(),
        port: 0,
    };
    mta::up::create(&mta::configuration::Layout::new(&path), &new).unwrap();
    path
}

pub fn sluice(site: &Path, args: &[&str], input: &str) -> Ran {
    run(Program::Sluice, site, args, input, false)
}
