//! The messages of SCRAM-SHA-256 (RFC 5802 section 7), without channel binding.

use super::encoding;
use crate::directory::Verifier;

/// The longest client nonce, in octets.
const MAX_NONCE: usize = 512;
/// The longest message, in octets.
const MAX_MESSAGE: usize = 4096;

/// client-first-message.
pub(super) struct ClientFirst<'a> {
    /// `n,,` or the like, as it was sent: the client repeats it in its last message.
    gs2_header: &'a str,
    /// The message without the header.
    bare: &'a str,
    pub username: String,
    pub authzid: String,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// Reads the message; the error says what is wrong with it.
    pub fn parse(message: &'a [u8]) -> Result<Self, &'static str> {
        let message = text(message)?;
        let mut parts = message.splitn(3, ',');
        let (Some(binding), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("the first SCRAM message has too few parts");
        };
        match binding {
            // `y`: the client would bind channels but saw no such offer. None was made, so nobody removed it.
            "n" | "y" => {}
            _ if binding.starts_with("p=") => return Err("SCRAM channel binding is not offered"),
            _ => return Err("the first SCRAM message begins with a channel binding flag"),
        }
        let authzid = match authzid.strip_prefix("a=") {
            Some(name) => saslname(name)?,
            None if authzid.is_empty() => String::new(),
            None => return Err("the authorization identity is written a=name"),
        };
        let mut attributes = bare.split(',');
        let username = match attributes.next() {
            Some(first) if first.starts_with("m=") => return Err("a mandatory SCRAM extension is unknown"),
            Some(first) => saslname(
                first
                    .strip_prefix("n=")
                    .ok_or("the user name is written n=name")?,
            )?,
            None => return Err("the user name is written n=name"),
        };
        let nonce = attributes
            .next()
            .and_then(|a| a.strip_prefix("r="))
            .ok_or("the nonce is written r=nonce")?;
        if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a nonce is 1 to 512 printable characters");
        }
        let gs2_header = message.get(..message.len() - bare.len()).unwrap_or("");
        Ok(ClientFirst {
            gs2_header,
            bare,
            username,
            authzid,
            nonce,
        })
    }
}

/// What the server remembers until client-final-message comes.
pub(super) struct Pending {
    verifier: Verifier,
    /// The user, where there is one.
    uid: Option<String>,
    authzid: String,
    /// client-first-message-bare, a comma, server-first-message, a comma.
    auth_message: String,
    nonce: String,
    /// The header in base64, as `c=` must repeat it.
    binding: String,
}

impl Pending {
    /// Answers the first message: what to remember, and server-first-message.
    pub fn new(
        first: &ClientFirst<'_>,
        server_nonce: &str,
        verifier: Verifier,
        uid: Option<String>,
        authzid: String,
    ) -> (Pending, String) {
        let nonce = format!("{}{server_nonce}", first.nonce);
        let salt = encoding::encode(verifier.salt());
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations());
        let auth_message = format!("{},{challenge},", first.bare);
        let binding = encoding::encode(first.gs2_header.as_bytes());
        (
            Pending {
                verifier,
                uid,
                authzid,
                auth_message,
                nonce,
                binding,
            },
            challenge,
        )
    }

    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    pub fn authzid(&self) -> &str {
        &self.authzid
    }

    /// Checks client-final-message: the server's signature where the proof is right, `None` where it is wrong.
    pub fn check(&self, message: &[u8]) -> Result<Option<[u8; 32]>, &'static str> {
        let message = text(message)?;
        let (without_proof, proof) = message
            .rsplit_once(",p=")
            .ok_or("the last SCRAM message has no proof")?;
        let proof = encoding::decode(proof.as_bytes()).map_err(|_| "the proof is not base64")?;
        let proof: [u8; 32] = proof.try_into().map_err(|_| "the proof has 32 octets")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|a| a.strip_prefix("c="));
        if binding.ok_or("the channel binding is written c=base64")? != self.binding {
            return Err("the channel binding differs from the first message");
        }
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r="));
        if nonce.ok_or("the nonce is written r=nonce")? != self.nonce {
            return Err("the nonce is not the one that was agreed");
        }
        let auth_message = format!("{}{without_proof}", self.auth_message);
        Ok(self.verifier.check_proof(auth_message.as_bytes(), &proof))
    }
}

fn text(message: &[u8]) -> Result<&str, &'static str> {
    if message.len() > MAX_MESSAGE {
        return Err("a SCRAM message has 4096 octets at most");
    }
    let message = std::str::from_utf8(message).map_err(|_| "a SCRAM message is UTF-8")?;
    if message.contains('\0') {
        Err("a SCRAM message holds no NUL")
    } else {
        Ok(message)
    }
}

/// A name with its `=2C` (comma) and `=3D` (equals sign) turned back.
fn saslname(name: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(name.len());
    let mut pieces = name.split('=');
    out.push_str(pieces.next().unwrap_or(""));
    for piece in pieces {
        if let Some(rest) = piece.strip_prefix("2C") {
            out.push(',');
            out.push_str(rest);
        } else if let Some(rest) = piece.strip_prefix("3D") {
            out.push('=');
            out.push_str(rest);
        } else {
            return Err("an equals sign in a SCRAM name is written =3D, a comma =2C");
        }
    }
    if out.is_empty() {
        Err("a SCRAM name is not empty")
    } else {
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages() {
        type Case = (&'static str, &'static [u8], Option<(&'static str, &'static str)>);
        let cases: [Case; 16] = [
            ("plain", b"n,,n=user,r=abc", Some(("user", ""))),
            ("binding known", b"y,,n=user,r=abc", Some(("user", ""))),
            ("identity", b"n,a=me,n=user,r=abc", Some(("user", "me"))),
            ("escapes", b"n,a=x=3Dy,n=a=2Cb,r=abc", Some(("a,b", "x=y"))),
            ("extension", b"n,,n=user,r=abc,x=1", Some(("user", ""))),
            ("binding used", b"p=tls-exporter,,n=user,r=abc", None),
            ("bad flag", b"x,,n=user,r=abc", None),
            ("mandatory extension", b"n,,m=1,n=user,r=abc", None),
            ("bad escape", b"n,,n=a=2c,r=abc", None),
            ("no user", b"n,,n=,r=abc", None),
            ("no nonce", b"n,,n=user", None),
            ("empty nonce", b"n,,n=user,r=", None),
            ("blank in nonce", b"n,,n=user,r=a b", None),
            ("order", b"n,,r=abc,n=user", None),
            ("cut short", b"n,", None),
            ("no UTF-8", b"n,,n=\xff,r=abc", None),
        ];
        for (name, message, want) in cases {
            let first = ClientFirst::parse(message);
            let got = first
                .as_ref()
                .ok()
                .map(|f| (f.username.as_str(), f.authzid.as_str()));
            assert_eq!(got, want, "{name}");
        }
    }
}
