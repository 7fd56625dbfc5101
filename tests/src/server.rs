//! A server process.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::binary::sluice;
use crate::{Client, Site, until};

/// `sluice up` on a site. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    root: PathBuf,
    listening: Vec<(String, SocketAddr)>,
}

impl Server {
    /// Starts a server and waits until it serves.
    pub fn start(site: &Site) -> Server {
        Server::start_with(site, &[])
    }

    /// [`Server::start`], with a standard error that nobody reads.
    pub fn start_unheard(site: &Site) -> Server {
        let mut command = Command::new("sh");
        command.arg("-c").arg("exec \"$0\" up --dir \"$1\" 2>/dev/full");
        command.arg(sluice()).arg(site.root());
        Server::launch(site, command)
    }

    /// [`Server::start`] with more arguments of `up`.
    pub fn start_with(site: &Site, args: &[&str]) -> Server {
        let mut command = Command::new(sluice());
        command.arg("up").arg("--dir").arg(site.root()).args(args);
        Server::launch(site, command)
    }

    fn launch(site: &Site, mut command: Command) -> Server {
        let root = site.root().to_path_buf();
        std::fs::create_dir_all(&root).expect("a temporary folder");
        // what a killed server left does not say where this one listens
        let _ = std::fs::remove_file(root.join("run/listening"));
        let file = |name: &str| File::create(std::env::temp_dir().join(name)).expect("a temporary file");
        let name = root
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let (out, err) = (format!("{name}.out"), format!("{name}.err"));
        command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
        let child = command.spawn().expect("sluice starts");
        let mut server = Server {
            child,
            root,
            listening: Vec::new(),
        };
        until("the server to serve", || {
            if let Ok(Some(status)) = server.child.try_wait() {
                panic!(
                    "sluice up ended with {status}:\n{}\n{}",
                    server.output(),
                    server.errors()
                );
            }
            server.output().contains("SMTP is on ").then_some(())
        });
        let text = std::fs::read_to_string(server.root.join("run/listening")).unwrap_or_default();
        server.listening = text
            .lines()
            .filter_map(|l| l.rsplit_once(' '))
            .filter_map(|(service, address)| Some((service.to_string(), address.parse().ok()?)))
            .collect();
        server
    }

    fn captured(&self, kind: &str) -> String {
        let name = self
            .root
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        std::fs::read_to_string(std::env::temp_dir().join(format!("{name}.{kind}"))).unwrap_or_default()
    }

    /// What it printed.
    pub fn output(&self) -> String {
        self.captured("out")
    }

    /// What it complained of.
    pub fn errors(&self) -> String {
        self.captured("err")
    }

    fn address(&self, service: &str) -> SocketAddr {
        let found = self.listening.iter().find(|(name, _)| name == service);
        found
            .unwrap_or_else(|| panic!("no service {service} in {:?}", self.listening))
            .1
    }

    /// The SMTP port.
    pub fn smtp(&self) -> SocketAddr {
        self.address("SMTP plain")
    }

    /// The submission port.
    pub fn submission(&self) -> SocketAddr {
        self.address("SMTP_SUBMIT plain")
    }

    /// The submission port with TLS from the first octet.
    pub fn submissions(&self) -> SocketAddr {
        self.address("SMTP_SUBMIT tls")
    }

    /// The ManageSieve port.
    pub fn managesieve(&self) -> SocketAddr {
        self.address("MANAGESIEVE plain")
    }

    /// An internal client, which has read the banner.
    pub fn inside(&self) -> Client {
        Client::greeted(self.smtp(), "127.0.0.1")
    }

    /// A stranger, who has read the banner.
    pub fn outside(&self) -> Client {
        Client::greeted(self.smtp(), "127.0.0.2")
    }

    /// Takes a message from an internal client.
    pub fn mail_inside(&self, from: &str, to: &[&str], message: &str) {
        let mut client = self.inside();
        client.hello();
        client.mail(from, to, message).expect(250);
    }

    /// Takes a message from a stranger.
    pub fn mail_outside(&self, from: &str, to: &[&str], message: &str) {
        let mut client = self.outside();
        client.hello();
        client.mail(from, to, message).expect(250);
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A figure of /proc/PID/status in KiB, such as `VmRSS` or the highest value so far, `VmHWM`.
    pub fn memory(&self, figure: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(figure)?.strip_prefix(':'));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {figure} in {text}"))
    }

    /// Lets a process, this server or the test, have so many open files; `false` where the system says no.
    pub fn allow_files(pid: u32, files: u32) -> bool {
        let limit = format!("--nofile={files}");
        Command::new("prlimit")
            .args(["--pid", &pid.to_string(), &limit])
            .status()
            .is_ok_and(|s| s.success())
    }

    /// Ends it at once, as a crash does.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop, and waits until it has.
    pub fn terminate(mut self) {
        let pid = self.pid().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let status = until("the server to stop", || self.child.try_wait().ok().flatten());
        assert!(
            status.success(),
            "sluice up ended with {status}:\n{}",
            self.errors()
        );
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- the server's errors\n{}", self.errors());
        }
        let name = self
            .root
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        for kind in ["out", "err"] {
            let _ = std::fs::remove_file(std::env::temp_dir().join(format!("{name}.{kind}")));
        }
    }
}
