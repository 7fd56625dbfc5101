//! URIs that scripts name: notification methods and external lists.

/// The scheme of an absolute URI, in lower case.
pub(super) fn scheme(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let mut bytes = scheme.bytes();
    let good = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !rest.is_empty()
        && !uri.chars().any(|c| c.is_whitespace() || c.is_control());
    good.then(|| scheme.to_ascii_lowercase())
}

/// Whether this may name a list: an absolute URI, or the short form that begins with a colon.
pub(super) fn is_list(name: &str) -> bool {
    match name.strip_prefix(':') {
        Some(rest) => !rest.is_empty() && !rest.chars().any(char::is_whitespace),
        None => scheme(name).is_some(),
    }
}

/// Undoes the percent-encoding of a URI; what is malformed stays.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(decoded) if b == b'%' => {
                out.push(decoded);
                at += 3;
            }
            _ => {
                out.push(b);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Why a notification method cannot be used, if it cannot.
pub(super) fn bad_method(uri: &str, offered: &[String]) -> Option<String> {
    let Some(scheme) = scheme(uri) else {
        return Some(format!("\"{uri}\" is not an absolute URI"));
    };
    if !offered.contains(&scheme) {
        return Some(format!("there is no notification method \"{scheme}\" here"));
    }
    if scheme == "mailto" {
        let rest = uri.get("mailto:".len()..).unwrap_or("");
        let addresses = rest.split('?').next().unwrap_or("");
        let to_field = rest
            .split(['?', '&'])
            .skip(1)
            .any(|f| f.to_ascii_lowercase().starts_with("to="));
        let all = addresses.split(',').filter(|a| !a.is_empty());
        if addresses.is_empty() && !to_field {
            return Some(format!("\"{uri}\" names no address"));
        }
        for address in all {
            if crate::message::address::single(&decode(address)).is_none() {
                return Some(format!("\"{uri}\" holds a bad address"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_methods() {
        let offered = ["mailto".to_owned(), "xmpp".to_owned()];
        for (uri, good) in [
            ("mailto:a@x.example", true),
            ("MAILTO:a%2Bb@x.example?subject=hi", true),
            ("mailto:?to=a@x.example", true),
            ("mailto:nobody", false),
            ("mailto:", false),
            ("frob:x", false),
            ("no uri", false),
            ("xmpp:me@im.example.com?message;subject=SIEVE", true),
        ] {
            assert_eq!(bad_method(uri, &offered).is_none(), good, "{uri}");
        }
        assert!(is_list(":addrbook:default") && is_list("tag:example.com,2026:x") && !is_list("plain"));
    }
}
