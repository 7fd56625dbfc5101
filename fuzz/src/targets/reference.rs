//! What a pattern means, without any care for time: the first way to match that the manual's order of
//! preference leads to. Gives up on what would take too long.

use std::net::IpAddr;

use grammar::mapping::Element;

/// Steps before it gives up.
const STEPS: u32 = 20_000;

/// Deepest recursion.
const DEPTH: u32 = 400;

type Fields = Vec<(u32, u32)>;

/// The fields of the match, `None` within where there is none; `None` where it would take too long.
pub fn matches(elements: &[Element], subject: &str) -> Option<Option<Fields>> {
    let mut search = Search {
        subject,
        steps: 0,
        gave_up: false,
    };
    let fields = search.go(elements, 0, &Vec::new(), 0);
    (!search.gave_up).then_some(fields)
}

struct Search<'a> {
    subject: &'a str,
    steps: u32,
    gave_up: bool,
}

impl Search<'_> {
    fn go(&mut self, elements: &[Element], pos: usize, fields: &Fields, depth: u32) -> Option<Fields> {
        self.steps += 1;
        if self.steps > STEPS || depth > DEPTH {
            self.gave_up = true;
        }
        if self.gave_up {
            return None;
        }
        let rest = &self.subject[pos..];
        let Some((element, after)) = elements.split_first() else {
            return rest.is_empty().then(|| fields.clone());
        };
        for len in self.lengths(element, rest, fields) {
            let mut fields = fields.clone();
            if element.saves() {
                fields.push((pos as u32, (pos + len) as u32));
            }
            let found = self.go(after, pos + len, &fields, depth + 1);
            if found.is_some() || self.gave_up {
                return found;
            }
        }
        None
    }

    /// Lengths that an element may take of `rest`, in the order in which they are tried.
    fn lengths(&self, element: &Element, rest: &str, fields: &Fields) -> Vec<usize> {
        let starts = |text: &str| {
            let head = rest.as_bytes().get(..text.len());
            let same = head.is_some_and(|h| h.eq_ignore_ascii_case(text.as_bytes()));
            if same { vec![text.len()] } else { Vec::new() }
        };
        match element {
            Element::Literal(text) => starts(text),
            Element::Back { field, .. } => match fields.get(*field as usize) {
                Some(&(a, b)) => starts(&self.subject[a as usize..b as usize]),
                None => Vec::new(),
            },
            Element::Ip(net) => {
                let is = |len: &usize| {
                    let address = rest.get(..*len).and_then(|t| t.parse::<IpAddr>().ok());
                    address.is_some_and(|a| net.contains(a))
                };
                (1..=rest.len().min(45)).rev().find(is).into_iter().collect()
            }
            Element::Wild {
                class, many: false, ..
            } => {
                let first = rest.chars().next().filter(|&c| class.contains(c));
                first.map(char::len_utf8).into_iter().collect()
            }
            Element::Wild { class, lazy, .. } => {
                let mut lengths = vec![0];
                for (i, c) in rest.char_indices() {
                    if !class.contains(c) {
                        break;
                    }
                    lengths.push(i + c.len_utf8());
                }
                if !lazy {
                    lengths.reverse();
                }
                lengths
            }
        }
    }
}
