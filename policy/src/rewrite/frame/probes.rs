//! The forms of a host that the rules are asked for.

/// One form of the host that is looked up, and what of the host it leaves.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub pattern: String,
    /// `$D`.
    pub domain: String,
    /// `$H`.
    pub host: String,
    /// `$L`.
    pub literal: String,
    /// Only if the host is not in the channel table (`.`).
    pub only_unknown: bool,
}

/// The forms of a host in the order in which the rules are asked for them (rewrite specification 4.2,
/// 4.3, 4.8).
pub(super) fn probes(host: &str, tag: &str, match_any: bool) -> Vec<Probe> {
    let host = host.to_string();
    let mut list: Vec<Probe> = Vec::new();
    let mut add = |pattern: &str, domain: String, left: String, literal: String, only_unknown: bool| {
        list.push(Probe {
            pattern: format!("{tag}{}", pattern.to_ascii_lowercase()),
            domain,
            host: left,
            literal,
            only_unknown,
        });
    };
    let none = String::new;
    if match_any {
        add("$*", none(), host.clone(), none(), false);
    }
    add(&host, host.clone(), none(), none(), false);
    if let Some(inner) = host.strip_prefix('[') {
        let (inner, after) = inner.split_once(']').unwrap_or((inner, ""));
        let parts: Vec<&str> = inner.split('.').collect();
        let dotted = parts.len() > 1 && !inner.contains(':');
        if dotted {
            for n in (1..parts.len()).rev() {
                let head = format!("[{}.]", parts[..n].join("."));
                add(&head, head.clone(), none(), parts[n..].join("."), false);
            }
        }
        add("[]", "[]".into(), none(), inner.to_string(), false);
        let stars = if dotted {
            vec!["*"; parts.len()].join(".")
        } else {
            "*".into()
        };
        let pattern = format!("[{stars}]");
        add(
            &pattern,
            pattern.clone(),
            inner.to_string(),
            inner.to_string(),
            false,
        );
        if !after.is_empty() {
            suffixes(after, &format!("[{inner}]"), &mut add);
        }
    } else {
        let labels: Vec<&str> = host.split('.').collect();
        for n in 1..=labels.len() {
            // n components wildcarded
            let rest = labels[n..].join(".");
            let stars = vec!["*"; n].join(".");
            let left = labels[..n].join(".");
            let domain = if rest.is_empty() {
                none()
            } else {
                format!(".{rest}")
            };
            add(
                &format!("{stars}{domain}"),
                domain.clone(),
                left.clone(),
                none(),
                false,
            );
            if !rest.is_empty() {
                add(&domain, domain.clone(), left, none(), false);
            }
        }
    }
    add(".", ".".into(), host.clone(), none(), true);
    list
}

fn suffixes(after: &str, literal: &str, add: &mut impl FnMut(&str, String, String, String, bool)) {
    let mut rest = after;
    let mut left = literal.to_string();
    while let Some(bare) = rest.strip_prefix('.') {
        add(rest, rest.to_string(), left.clone(), String::new(), false);
        match bare.find('.') {
            Some(i) => {
                left = format!("{left}.{}", &bare[..i]);
                rest = &bare[i..];
            }
            None => break,
        }
    }
}
