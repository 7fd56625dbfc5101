//! A site to start with: writes the relay-blocking example into a folder, with two users.

use std::path::Path;

use crate::configuration::Layout;
use crate::directory::{self, Directory, DirectoryError, SaveError};
use crate::files::make_private;

/// The files of the example, each with its text.
const FILES: &[(&str, &str)] = &[
    ("imta.cnf", include_str!("../../examples/relay/imta.cnf")),
    ("mappings", include_str!("../../examples/relay/mappings")),
    ("option.dat", include_str!("../../examples/relay/option.dat")),
    ("aliases", include_str!("../../examples/relay/aliases")),
    (
        "dispatcher.cnf",
        include_str!("../../examples/relay/dispatcher.cnf"),
    ),
];

/// The example's ports; `--port` moves the others along.
const PORTS: [u16; 4] = [2525, 2587, 2465, 4190];

/// What a new site is made for.
#[derive(Debug, Clone)]
pub struct NewSite {
    /// Fully qualified name of this machine.
    pub host: String,
    /// Mail domain.
    pub domain: String,
    /// Port of SMTP; 0: any free ports.
    pub port: u16,
}

/// A user that was made, with the password to show once.
#[derive(Clone)]
pub struct NewUser {
    /// User name.
    pub uid: String,
    /// Password.
    pub password: String,
}

/// Why a site cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A file or folder.
    #[error("{path}: {error}")]
    Io {
        /// What.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A user.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The user file.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A name that is none.
    #[error("{0:?} is not a host or domain name; use letters, digits, hyphens and dots")]
    Name(String),
    /// A text of the configuration that is there and cannot be read.
    #[error("{0}")]
    Config(String),
}

/// Whether a folder holds a site.
pub fn exists(layout: &Layout) -> bool {
    layout.config().join("imta.cnf").exists()
}

/// Makes a site with the users alice and bob. Every file is written before `imta.cnf`, so that a site that
/// is there is complete.
pub fn create(layout: &Layout, site: &NewSite) -> Result<Vec<NewUser>, CreateError> {
    for name in [&site.host, &site.domain] {
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || name.len() > 253 || !name.chars().all(ok) || name.contains("..") {
            return Err(CreateError::Name(name.clone()));
        }
    }
    let config = layout.config();
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error| CreateError::Io { path, error }
    };
    make_private(&layout.root).map_err(io(&layout.root))?;
    make_private(&config).map_err(io(&config))?;
    let mut directory = Directory::new()?;
    directory.add_domain(&site.domain)?;
    if site.host != site.domain {
        directory.add_domain(&site.host)?;
    }
    let mut users = Vec::new();
    for uid in ["alice", "bob"] {
        let password = password();
        directory.add_user(uid, &password)?;
        if site.host != site.domain {
            directory.add_alias(uid, &format!("{uid}@{}", site.host))?;
        }
        users.push(NewUser {
            uid: uid.to_string(),
            password,
        });
    }
    directory.save(&layout.users())?;
    let conf = format!(
        "local.hostname = {}\nservice.defaultdomain = {}\n",
        site.host, site.domain
    );
    write(&config.join("msg.conf"), &conf).map_err(io(&config.join("msg.conf")))?;
    for (name, text) in FILES.iter().rev() {
        let mut text = (*text).to_string();
        if *name == "dispatcher.cnf" {
            text = move_ports(&text, site.port);
        }
        write(&config.join(name), &text).map_err(io(&config.join(name)))?;
    }
    Ok(users)
}

/// Each line once: a port that was moved may be the example's number of another.
fn move_ports(text: &str, smtp: u16) -> String {
    let line = |line: &str| {
        let port = PORTS.into_iter().find(|p| line.ends_with(&format!("={p}")));
        match (port, line.rsplit_once('=')) {
            (Some(port), Some((name, _))) => format!("{name}={}\n", moved(port, smtp)),
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

fn moved(port: u16, smtp: u16) -> u16 {
    if smtp == 0 {
        0
    } else {
        (i32::from(port) - 2525 + i32::from(smtp)).clamp(1, 65_535) as u16
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

/// Adds a user; its address is in the default domain.
pub fn add_user(layout: &Layout, uid: &str, password: Option<String>) -> Result<NewUser, CreateError> {
    let password = password.unwrap_or_else(self::password);
    let secret = password.clone();
    let texts = crate::configuration::texts(layout).map_err(|error| {
        let messages: Vec<String> = error.diagnostics.into_iter().map(|d| d.message).collect();
        CreateError::Config(messages.join("; "))
    })?;
    let host = texts.host;
    directory::edit(&layout.users(), |directory| {
        directory.add_user(uid, &secret)?;
        if let Some(host) = host.as_deref().filter(|h| Some(*h) != directory.default_domain())
            && directory.is_local_domain(host)
        {
            directory.add_alias(uid, &format!("{uid}@{host}"))?;
        }
        Ok(())
    })?;
    Ok(NewUser {
        uid: uid.to_string(),
        password,
    })
}

/// Gives a user a new password; one is made where none is given.
pub fn set_password(layout: &Layout, uid: &str, password: Option<String>) -> Result<NewUser, CreateError> {
    let password = password.unwrap_or_else(self::password);
    directory::edit(&layout.users(), |directory| {
        directory.set_password(uid, &password)
    })?;
    Ok(NewUser {
        uid: uid.to_string(),
        password,
    })
}

/// A password that can be read out: 80 random bits.
fn password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = u128::from(crate::server::seed()).to_le_bytes();
    }
    let letters: String = bytes
        .iter()
        .map(|b| char::from(LETTERS[usize::from(b % 32)]))
        .collect();
    format!(
        "{}-{}-{}-{}",
        &letters[..4],
        &letters[4..8],
        &letters[8..12],
        &letters[12..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_move_together() {
        let example = "[SERVICE=A]\nPORT=2525\nPORT=2587\nTLS_PORT=2465\nPORT=4190\n";
        let cases = [
            (
                "the example's",
                2525,
                "PORT=2525\nPORT=2587\nTLS_PORT=2465\nPORT=4190\n",
            ),
            ("any", 0, "PORT=0\nPORT=0\nTLS_PORT=0\nPORT=0\n"),
            (
                "onto another of the example",
                2587,
                "PORT=2587\nPORT=2649\nTLS_PORT=2527\nPORT=4252\n",
            ),
        ];
        for (name, smtp, want) in cases {
            assert_eq!(
                move_ports(example, smtp),
                format!("[SERVICE=A]\n{want}"),
                "{name}"
            );
        }
    }
}
