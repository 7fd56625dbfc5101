//! The base64 lines of an exchange (RFC 4954 section 4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::SaslError;

/// The longest base64 line, in octets without the line's end (RFC 4954 section 4.5).
pub const MAX_LINE: usize = 12_288;

/// Encodes a challenge.
pub fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Decodes strictly: canonical padding, no blanks, no other characters, [`MAX_LINE`] octets at most.
pub fn decode(line: &[u8]) -> Result<Vec<u8>, SaslError> {
    if line.len() > MAX_LINE {
        return Err(SaslError::TooLong);
    }
    STANDARD.decode(line).map_err(|_| SaslError::BadBase64)
}

/// Decodes the initial response of the AUTH command: `=` stands for an empty one, an empty word is an error.
pub fn decode_initial(word: &[u8]) -> Result<Vec<u8>, SaslError> {
    match word {
        b"=" => Ok(Vec::new()),
        b"" => Err(SaslError::BadBase64),
        word => decode(word),
    }
}

/// Decodes an answer to a challenge: `*` cancels, an empty line is an empty answer.
pub fn decode_response(line: &[u8]) -> Result<Vec<u8>, SaslError> {
    match line {
        b"*" => Err(SaslError::Cancelled),
        line => decode(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        type Decode = fn(&[u8]) -> Result<Vec<u8>, SaslError>;
        type Case = (
            &'static str,
            Decode,
            &'static [u8],
            Result<&'static [u8], SaslError>,
        );
        let cases: [Case; 12] = [
            ("plain", decode_response, b"YQ==", Ok(b"a")),
            ("empty answer", decode_response, b"", Ok(b"")),
            ("cancel", decode_response, b"*", Err(SaslError::Cancelled)),
            (
                "equals is no answer",
                decode_response,
                b"=",
                Err(SaslError::BadBase64),
            ),
            ("empty initial", decode_initial, b"=", Ok(b"")),
            ("no initial", decode_initial, b"", Err(SaslError::BadBase64)),
            ("star initial", decode_initial, b"*", Err(SaslError::BadBase64)),
            ("no padding", decode_response, b"YQ", Err(SaslError::BadBase64)),
            (
                "bits after the end",
                decode_response,
                b"YR==",
                Err(SaslError::BadBase64),
            ),
            ("blank", decode_response, b"YQ= =", Err(SaslError::BadBase64)),
            (
                "other alphabet",
                decode_response,
                b"_-==",
                Err(SaslError::BadBase64),
            ),
            ("line end", decode_response, b"YQ==\r", Err(SaslError::BadBase64)),
        ];
        for (name, decode, input, want) in cases {
            assert_eq!(decode(input).as_deref(), want.as_ref().map(|w| *w), "{name}");
        }
        assert!(decode(&[b'A'; MAX_LINE]).is_ok());
        assert_eq!(decode(&[b'A'; MAX_LINE + 4]), Err(SaslError::TooLong));
    }
}
