//! The known name that was probably meant, for "did you mean".

/// Messages after which no more names are suggested: a text with so many is not one with a slip of the pen.
const SUGGESTION_LIMIT: usize = 500;

/// Letters of a word that are looked at.
const LENGTH: usize = 64;

/// The known name nearest to what was written, in any case, if one is near enough.
pub fn nearest<'a, S: AsRef<str> + ?Sized + 'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a S>,
) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().take(LENGTH).collect();
    let mut row = Vec::new();
    known
        .into_iter()
        .map(AsRef::as_ref)
        .filter_map(|name| {
            let far = 1 + name.len() / 4;
            // names of another length are at least that far away
            if name.chars().take(LENGTH).count().abs_diff(word.len()) > far {
                return None;
            }
            let distance = distance(&word, name, &mut row);
            (distance <= far).then_some((distance, name))
        })
        .min()
        .map(|(_, name)| name)
}

/// As [`nearest`], unless so many messages were said before.
pub(crate) fn suggest<'a, S: AsRef<str> + ?Sized + 'a>(
    said: usize,
    word: &str,
    known: impl IntoIterator<Item = &'a S>,
) -> Option<&'a str> {
    (said < SUGGESTION_LIMIT).then(|| nearest(word, known)).flatten()
}

/// Edits between two words; `row` is room to work in.
fn distance(a: &[char], b: &str, row: &mut Vec<usize>) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().take(LENGTH).collect();
    row.clear();
    row.extend(0..=b.len());
    for (i, x) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest() {
        let known = ["fileinto", "vacation", "SMTP", "smtp_cr", "für"];
        for (word, expected) in [
            ("fileintoo", Some("fileinto")),
            ("Vacaton", Some("vacation")),
            ("smpt", Some("SMTP")),
            ("FUR", Some("für")),
            ("vnd.example.nonexistent", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest("smt", &["smtp".to_string()]), Some("smtp"));
    }
}
