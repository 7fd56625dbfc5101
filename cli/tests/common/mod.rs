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
