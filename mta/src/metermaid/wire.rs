//! The lines that MeterMaid's clients and server exchange.
//!
//! A request is an operation, a table, a key and what the operation needs more, separated by one space; a
//! reply is `+`, `-` or `!`, with a field or not. Every octet of a field other than letters, digits and
//! `-._~|@:/<>=+` is sent as `%XX`, the empty field as `%`: no key or value can end a field or a line.
//!
//! Guarantees: decoding takes any octets, in time linear in their number. Refuses: lines over
//! [`MAX_LINE`] octets, fields that are no UTF-8 text, broken escapes.
//!
//! Source: access specification 21.7.

use ring::hmac;

use super::call::{Answer, Call, CallError, Routine, parse_amount, parse_test};

/// The longest line, its end included.
pub const MAX_LINE: usize = 8192;

/// Fields of a request at most, operation included.
const MAX_FIELDS: usize = 5;

/// Why a line cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Too long.
    #[error("a line of more than {MAX_LINE} octets")]
    TooLong,
    /// An escape that is none.
    #[error("a `%` that two hexadecimal digits do not follow")]
    Escape,
    /// Not text.
    #[error("a field that is no UTF-8 text")]
    NotText,
    /// Too many or too few fields.
    #[error("{0} does not have that many fields")]
    Fields(String),
    /// Not an operation.
    #[error("there is no such operation")]
    Operation,
    /// An argument that is no number or test.
    #[error(transparent)]
    Argument(#[from] CallError),
    /// A reply that begins with none of `+`, `-`, `!`.
    #[error("a reply that is none")]
    Reply,
}

fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~|@:/<>=+".contains(&octet)
}

/// Appends a field.
pub fn encode(field: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if field.is_empty() {
        out.push(b'%');
    }
    for octet in field.bytes() {
        if is_plain(octet) {
            out.push(octet);
        } else {
            out.extend([b'%', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
        }
    }
}

/// Reads a field.
///
/// # Errors
/// [`WireError::Escape`], [`WireError::NotText`].
pub fn decode(field: &[u8]) -> Result<String, WireError> {
    if field == b"%" {
        return Ok(String::new());
    }
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field.iter().copied();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            text.push(octet);
            continue;
        }
        let mut digit = || {
            rest.next()
                .and_then(|d| char::from(d).to_digit(16))
                .ok_or(WireError::Escape)
        };
        let (high, low) = (digit()?, digit()?);
        text.push((high * 16 + low) as u8);
    }
    String::from_utf8(text).map_err(|_| WireError::NotText)
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// It knows the secret.
    Auth(String),
    /// Nothing.
    Noop,
    /// It leaves.
    Quit,
    /// A routine: its name in upper case, and its fields.
    Call(String, Vec<String>),
}

impl Request {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn parse(line: &[u8]) -> Result<Request, WireError> {
        if line.len() > MAX_LINE {
            return Err(WireError::TooLong);
        }
        let mut parts = line.split(|octet| *octet == b' ');
        let operation = decode(parts.next().unwrap_or_default())?.to_ascii_uppercase();
        let fields = parts
            .take(MAX_FIELDS)
            .map(decode)
            .collect::<Result<Vec<_>, _>>()?;
        match (operation.as_str(), fields.as_slice()) {
            ("AUTH", [code]) => Ok(Request::Auth(code.clone())),
            ("NOOP", []) => Ok(Request::Noop),
            ("QUIT", []) => Ok(Request::Quit),
            ("AUTH" | "NOOP" | "QUIT", _) => Err(WireError::Fields(operation)),
            _ => Ok(Request::Call(operation, fields)),
        }
    }
}

/// The call that an operation and its fields make.
///
/// # Errors
/// [`WireError`]: no such operation, wrong number of fields, bad numbers.
pub fn call<'a>(operation: &str, fields: &'a [String]) -> Result<Call<'a>, WireError> {
    let wrong = || WireError::Fields(operation.to_string());
    let [table, key, arguments @ ..] = fields else {
        return Err(wrong());
    };
    let routine = match (operation, arguments) {
        ("THROTTLE", []) => Routine::Throttle,
        ("QUERY", []) => Routine::Query,
        ("GREYLISTING", []) => Routine::Greylisting,
        ("STORE", [value]) => Routine::Store(value),
        ("FETCH", []) => Routine::Fetch,
        ("REMOVE", []) => Routine::Remove,
        ("ADJUST", [by]) => Routine::Adjust(parse_amount(by)?),
        ("TEST", [test]) => Routine::Test(parse_test(test)?),
        ("ADJUST_AND_TEST", [by, test]) => Routine::AdjustAndTest(parse_amount(by)?, parse_test(test)?),
        (
            "THROTTLE" | "QUERY" | "GREYLISTING" | "STORE" | "FETCH" | "REMOVE" | "ADJUST" | "TEST"
            | "ADJUST_AND_TEST",
            _,
        ) => return Err(wrong()),
        _ => return Err(WireError::Operation),
    };
    Ok(Call { table, key, routine })
}

/// The line of a call, its end included.
///
/// # Errors
/// [`WireError::TooLong`]
pub fn encode_call(call: &Call<'_>) -> Result<Vec<u8>, WireError> {
    let (operation, arguments): (&str, Vec<String>) = match call.routine {
        Routine::Throttle => ("THROTTLE", vec![]),
        Routine::Query => ("QUERY", vec![]),
        Routine::Greylisting => ("GREYLISTING", vec![]),
        Routine::Store(value) => ("STORE", vec![value.to_string()]),
        Routine::Fetch => ("FETCH", vec![]),
        Routine::Remove => ("REMOVE", vec![]),
        Routine::Adjust(by) => ("ADJUST", vec![by.to_string()]),
        Routine::Test(test) => ("TEST", vec![test.to_string()]),
        Routine::AdjustAndTest(by, test) => ("ADJUST_AND_TEST", vec![by.to_string(), test.to_string()]),
    };
    let mut line = operation.as_bytes().to_vec();
    for field in [call.table, call.key]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
    {
        line.push(b' ');
        encode(field, &mut line);
        if line.len() > MAX_LINE - 2 {
            return Err(WireError::TooLong);
        }
    }
    line.extend(b"\r\n");
    Ok(line)
}

/// Appends the line of an answer.
pub fn encode_answer(answer: &Answer, out: &mut Vec<u8>) {
    out.push(if answer.success { b'+' } else { b'-' });
    let number = answer.number.map(|n| n.to_string());
    if let Some(value) = answer.text.as_deref().or(number.as_deref()) {
        out.push(b' ');
        encode(value, out);
    }
    out.extend(b"\r\n");
}

/// Appends the line of an error.
pub fn encode_error(reason: &str, out: &mut Vec<u8>) {
    let short: String = reason.chars().take(200).collect();
    out.extend(b"! ");
    encode(&short, out);
    out.extend(b"\r\n");
}

/// What a server replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The routine succeeds.
    Yes(Option<String>),
    /// It fails.
    No(Option<String>),
    /// Something is wrong.
    Error(String),
}

impl Reply {
    /// Reads a line, its end included or not.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn parse(line: &[u8]) -> Result<Reply, WireError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (sign, rest) = line.split_first().ok_or(WireError::Reply)?;
        let value = match rest {
            [] => None,
            [b' ', field @ ..] => Some(decode(field)?),
            _ => return Err(WireError::Reply),
        };
        match sign {
            b'+' => Ok(Reply::Yes(value)),
            b'-' => Ok(Reply::No(value)),
            b'!' => Ok(Reply::Error(value.unwrap_or_default())),
            _ => Err(WireError::Reply),
        }
    }
}

/// The shared secret. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(...)")
    }
}

impl Secret {
    /// A secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes())
    }

    /// The code that proves its knowledge, for a nonce.
    pub fn code(&self, nonce: &str) -> String {
        hex(hmac::sign(&self.key(), nonce.as_bytes()).as_ref())
    }

    /// Whether a code is that of the nonce; takes the same time for every wrong code.
    pub fn verify(&self, nonce: &str, code: &str) -> bool {
        let digits: Option<Vec<u32>> = code.chars().map(|c| c.to_digit(16)).collect();
        let octets: Vec<u8> = digits
            .unwrap_or_default()
            .chunks(2)
            .map(|d| d.iter().fold(0, |n, d| n * 16 + *d as u8))
            .collect();
        hmac::verify(&self.key(), nonce.as_bytes(), &octets).is_ok()
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_survive_the_wire() {
        let calls = [
            "throttle,T,adam@sesta.com",
            "query,T,",
            "greylisting,T,1.2.3.4|a b@c|\r\nQUIT",
            "store,T,k,\u{fc} %41 + \u{0}",
            "fetch,a table,100%",
            "remove,T,k",
            "adjust,T,k,-5",
            "test,T,k,>=-9223372036854775808",
            "adjust_and_test,T,k,1,<=7",
        ];
        for text in calls {
            let expected = Call::parse(text).unwrap();
            let line = encode_call(&expected).unwrap();
            assert_eq!(
                line.iter().filter(|o| matches!(o, b'\n' | b'\r')).count(),
                2,
                "{text:?}"
            );
            let Request::Call(operation, fields) = Request::parse(line.trim_ascii_end()).unwrap() else {
                panic!()
            };
            assert_eq!(call(&operation, &fields).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn bad_lines_are_refused() {
        let fits = "k".repeat(2800);
        let long = Call {
            table: "T",
            key: &" ".repeat(2800),
            routine: Routine::Fetch,
        };
        assert!(encode_call(&Call { key: &fits, ..long }).is_ok());
        assert_eq!(encode_call(&long), Err(WireError::TooLong));
        let cases: [(&[u8], WireError); 4] = [
            (b"FETCH T %4", WireError::Escape),
            (b"FETCH T %zz", WireError::Escape),
            (b"FETCH T %ff", WireError::NotText),
            (b"NOOP x", WireError::Fields("NOOP".into())),
        ];
        for (line, expected) in cases {
            assert_eq!(Request::parse(line), Err(expected), "{}", line.escape_ascii());
        }
        let calls = [
            ("FETCH", 1),
            ("FETCH", 3),
            ("STORE", 2),
            ("ADJUST_AND_TEST", 3),
            ("DROP", 2),
            ("TEST", 3),
        ];
        for (operation, count) in calls {
            assert!(
                call(operation, &vec!["x".to_string(); count]).is_err(),
                "{operation} {count}"
            );
        }
    }

    #[test]
    fn any_octets_are_decoded_without_harm() {
        // A generator of its own keeps the run the same every time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let pieces: [&[u8]; 12] = [
            b"THROTTLE",
            b" ",
            b"%",
            b"%4",
            b"%41",
            b"+",
            b"-",
            b"!",
            b"\xff",
            b"\r\n",
            b"ADJUST",
            b">=5",
        ];
        for _ in 0..20_000 {
            let count = next() % 9;
            let line: Vec<u8> = (0..count)
                .flat_map(|_| pieces[(next() % 12) as usize].iter().copied())
                .collect();
            if let Ok(Request::Call(operation, fields)) = Request::parse(&line)
                && let Ok(parsed) = call(&operation, &fields)
            {
                let again = encode_call(&parsed).unwrap();
                let again = Request::parse(again.trim_ascii_end()).unwrap();
                assert_eq!(
                    again,
                    Request::Call(operation, fields.clone()),
                    "{}",
                    line.escape_ascii()
                );
            }
            let _ = Reply::parse(&line);
        }
    }

    #[test]
    fn secrets_verify_and_are_not_shown() {
        let secret = Secret::new("k1");
        let code = secret.code("0123");
        assert_eq!(code.len(), 64);
        assert!(secret.verify("0123", &code));
        assert!(!secret.verify("0124", &code));
        assert!(!Secret::new("k2").verify("0123", &code));
        assert!(!secret.verify("0123", "") && !secret.verify("0123", "zz"));
        assert!(!format!("{secret:?}").contains("k1"));
    }
}
