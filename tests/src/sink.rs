//! A next hop that takes mail, and answers as it is told to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a sink answers to a command line, given how often the same line came before; `None`: as usual.
pub type Answers = dyn Fn(&str, usize) -> Option<String> + Send + Sync;

/// A message that a sink took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// The MAIL line.
    pub mail: String,
    /// The accepted RCPT lines.
    pub rcpt: Vec<String>,
    /// The message, dot-stuffing undone.
    pub data: String,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    lines: Mutex<Vec<String>>,
    times: Mutex<HashMap<String, usize>>,
    stop: AtomicBool,
}

/// A server that takes mail on a free port of 127.0.0.1, one connection after another.
pub struct Sink {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// A sink that takes everything and knows the usual extensions.
    pub fn start() -> Sink {
        Sink::with(&["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"], |_, _| None)
    }

    /// A sink with these extensions and answers.
    pub fn with(
        extensions: &[&'static str],
        answers: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static,
    ) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared::default());
        let extensions = extensions.to_vec();
        let inner = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if inner.stop.load(Ordering::SeqCst) {
                    return;
                }
                let _ = serve(stream, &extensions, &answers, &inner);
            }
        });
        Sink {
            port,
            shared,
            thread: Some(thread),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it took so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("the sink").clone()
    }

    /// Every command line that came.
    pub fn lines(&self) -> Vec<String> {
        self.shared.lines.lock().expect("the sink").clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            // a connection that a server keeps open must not hold the test up
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

fn serve(stream: TcpStream, extensions: &[&str], answers: &Answers, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(crate::PATIENCE))?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let mut message = Received::default();
    out.write_all(b"220 sink.example ESMTP\r\n")?;
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_string();
        shared.lines.lock().expect("the sink").push(line.clone());
        let times = {
            let mut all = shared.times.lock().expect("the sink");
            let count = all.entry(line.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
        let usual = match verb.as_str() {
            "EHLO" => {
                let all: Vec<&str> = std::iter::once("sink.example")
                    .chain(extensions.iter().copied())
                    .collect();
                let last = all.len() - 1;
                let lines = all
                    .iter()
                    .enumerate()
                    .map(|(n, e)| format!("250{}{e}", if n < last { '-' } else { ' ' }));
                lines.collect::<Vec<_>>().join("\r\n")
            }
            "DATA" if message.rcpt.is_empty() => "554 5.5.1 no recipients".to_string(),
            "DATA" => "354 go on".to_string(),
            "QUIT" => "221 bye".to_string(),
            _ => "250 2.0.0 fine".to_string(),
        };
        let answer = answers(&line, times).unwrap_or(usual);
        match (verb.as_str(), answer.starts_with(['2', '3'])) {
            ("MAIL", true) => {
                message = Received {
                    mail: line.clone(),
                    ..Received::default()
                }
            }
            ("RCPT", true) => message.rcpt.push(line.clone()),
            _ => {}
        }
        out.write_all(format!("{answer}\r\n").as_bytes())?;
        if verb == "QUIT" {
            return Ok(());
        }
        if verb == "DATA" && answer.starts_with('3') {
            loop {
                let mut line = Vec::new();
                if input.read_until(b'\n', &mut line)? == 0 {
                    return Ok(());
                }
                if line == b".\r\n" {
                    break;
                }
                let line = line.strip_prefix(b".").unwrap_or(&line);
                message.data.push_str(&String::from_utf8_lossy(line));
            }
            // the end of a message is answered like a command, too
            let answer = answers(".", times).unwrap_or_else(|| "250 2.0.0 taken".into());
            if answer.starts_with('2') {
                shared
                    .received
                    .lock()
                    .expect("the sink")
                    .push(std::mem::take(&mut message));
            }
            out.write_all(format!("{answer}\r\n").as_bytes())?;
        }
    }
}
