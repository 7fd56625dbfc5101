//! A site folder of a test.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::binary::{imsimta, sluice};

/// A site made once: making one hashes passwords and makes a key, which takes its time.
#[derive(Debug)]
pub struct Template {
    files: Vec<(PathBuf, Vec<u8>)>,
    passwords: HashMap<String, String>,
}

/// A site folder; removed when dropped, unless the test failed or `SLUICE_KEEP` is set.
#[derive(Debug)]
pub struct Site {
    root: PathBuf,
    passwords: HashMap<String, String>,
}

/// A program that ran.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Ran {
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| {
            panic!(
                "{:?}: {e}; `tests/run --prepare` installs what is missing",
                command.get_program()
            )
        });
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output, where the exit code is `code`; else the test fails and shows all.
    pub fn expect(self, code: i32) -> String {
        assert_eq!(
            self.code, code,
            "exit code\n--- out\n{}\n--- err\n{}",
            self.out, self.err
        );
        self.out
    }
}

fn unique() -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("sluice-e2e-{}-{n}", std::process::id()))
}

impl Template {
    fn get() -> &'static Template {
        static MADE: OnceLock<Template> = OnceLock::new();
        MADE.get_or_init(|| {
            let site = Site {
                root: unique(),
                passwords: HashMap::new(),
            };
            let server = crate::Server::start_with(
                &site,
                &[
                    "--port",
                    "0",
                    "--host",
                    "mail.example.com",
                    "--domain",
                    "example.com",
                ],
            );
            let said = server.output();
            let password = |line: &str| {
                let (user, rest) = line.strip_prefix("User ")?.split_once(" has the password ")?;
                Some((user.to_string(), rest.split_whitespace().next()?.to_string()))
            };
            let passwords = said.lines().filter_map(password).collect();
            server.terminate();
            let mut files = Vec::new();
            for folder in ["config", "tls"] {
                for file in std::fs::read_dir(site.root.join(folder))
                    .expect("the new site")
                    .flatten()
                {
                    let name = Path::new(folder).join(file.file_name());
                    files.push((name, std::fs::read(file.path()).expect("a file of the new site")));
                }
            }
            Template { files, passwords }
        })
    }
}

impl Default for Site {
    fn default() -> Self {
        Site::new()
    }
}

impl Site {
    /// A new site: host mail.example.com, domain example.com, users alice and bob.
    pub fn new() -> Site {
        Site::at(unique())
    }

    /// A new site in a folder that is there or not.
    pub fn at(root: PathBuf) -> Site {
        let template = Template::get();
        for (name, bytes) in &template.files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
            std::fs::write(&path, bytes).expect("a temporary file");
            if name.starts_with("tls") {
                use std::os::unix::fs::PermissionsExt;
                let only_owner = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&path, only_owner).expect("a temporary file");
            }
        }
        Site {
            root,
            passwords: template.passwords.clone(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A user's password.
    pub fn password(&self, user: &str) -> &str {
        self.passwords
            .get(user)
            .unwrap_or_else(|| panic!("{user} has no password"))
    }

    /// Path of a configuration text.
    pub fn config(&self, name: &str) -> PathBuf {
        self.root.join("config").join(name)
    }

    /// A configuration text.
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.config(name)).unwrap_or_default()
    }

    /// Writes a configuration text.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.config(name), text).expect("a configuration text");
    }

    /// Adds to a configuration text.
    pub fn append(&self, name: &str, text: &str) {
        let before = self.text(name);
        self.write(name, &format!("{before}{text}"));
    }

    /// Puts a user's Sieve script in force, or another file of `SITE/sieve`: `name` is its path there without
    /// `.sieve`.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.root.join("sieve").join(format!("{name}.sieve"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a script");
    }

    /// Replaces a part of a configuration text, which must be there.
    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.text(name);
        assert!(text.contains(from), "{name} has no {from:?}");
        self.write(name, &text.replacen(from, to, 1));
    }

    /// Makes tcp_local send everything to a port of this machine, with the retries of `keywords`.
    pub fn relay_to(&self, port: u16, keywords: &str) {
        self.replace(
            "imta.cnf",
            "tcp_local smtp mx ",
            &format!("tcp_local smtp daemon [127.0.0.1] port {port} {keywords} "),
        );
    }

    /// Runs `sluice`.
    pub fn sluice<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(Command::new(sluice()).args(args).env("SLUICE_SITE", &self.root))
    }

    /// Runs `imsimta`.
    pub fn imsimta<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(Command::new(imsimta()).args(args).env("SLUICE_SITE", &self.root))
    }

    /// The entries of the queue, as `qm directory -json` gives them.
    pub fn queue(&self) -> Vec<serde_json::Value> {
        let out = self.imsimta(["qm", "directory", "-json"]).expect(0);
        out.lines()
            .map(|l| serde_json::from_str(l).expect("a JSON object a line"))
            .collect()
    }

    /// The messages in a user's mailbox, oldest file name first, with line feeds for line ends.
    pub fn mail(&self, user: &str) -> Vec<String> {
        self.mail_in(user, "")
    }

    /// The messages in a folder of a user, as [`Site::mail`] gives them.
    pub fn mail_in(&self, user: &str, mailbox: &str) -> Vec<String> {
        let mut files = Vec::new();
        let mailbox = match mailbox {
            "" => String::new(),
            name => format!(".{name}"),
        };
        for folder in ["new", "cur"] {
            let path = self
                .root
                .join("store")
                .join(user)
                .join("Maildir")
                .join(&mailbox)
                .join(folder);
            files.extend(
                std::fs::read_dir(path)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|f| f.path()),
            );
        }
        files.sort();
        files
            .iter()
            .filter_map(|f| std::fs::read(f).ok())
            .map(|b| String::from_utf8_lossy(&b).replace("\r\n", "\n"))
            .collect()
    }

    /// The one message in a user's mailbox that contains `part`, once it is there.
    pub fn mail_with(&self, user: &str, part: &str) -> String {
        crate::until(&format!("a message with {part:?} for {user}"), || {
            self.mail(user).into_iter().find(|m| m.contains(part))
        })
    }

    /// Waits until the trace of the last session says something: a session is recorded when it has ended.
    pub fn explained(&self, text: &str) {
        let mut trace = String::new();
        let found = crate::wait::poll(crate::PATIENCE, || {
            trace = self.sluice(["explain", "--last"]).out;
            trace.contains(text).then_some(())
        });
        found.unwrap_or_else(|| panic!("{text:?} is not in\n{trace}"));
    }

    /// The log.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.root.join("log/mail.log_current")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The first line of the log that contains all of `parts`, once it is there.
    pub fn log_line(&self, parts: &[&str]) -> String {
        let mut log = String::new();
        let found = crate::wait::poll(crate::PATIENCE, || {
            log = self.log();
            log.lines()
                .find(|l| parts.iter().all(|p| l.contains(p)))
                .map(str::to_string)
        });
        found.unwrap_or_else(|| panic!("no line with {parts:?} in\n{log}"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("SLUICE_KEEP").is_some() {
            eprintln!("the site is kept in {}", self.root.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}
