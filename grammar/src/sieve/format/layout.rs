//! Tokens to lines.

use super::WIDTH;
use super::token::{Kind, Token};

/// Columns of one level.
const INDENT: usize = 4;

/// Words behind which parentheses hold tests, or a condition, and not the arguments of a function.
const TAKES_TESTS: &[&str] = &["allof", "anyof", "not", "if", "elsif", "exitif", "nextif"];

/// Words behind which an operator has nothing on its left.
const BEFORE_VALUE: &[&str] = &["if", "elsif", "not", "exitif", "nextif"];

const COMMA: Token<'static> = Token {
    kind: Kind::Mark,
    text: ",",
    lines: 0,
};

fn is_one_of(token: &Token<'_>, words: &[&str]) -> bool {
    token.kind == Kind::Word && words.iter().any(|w| token.text.eq_ignore_ascii_case(w))
}

/// A part of a command.
#[derive(Debug)]
enum Node<'s> {
    Token(Token<'s>),
    /// Brackets or parentheses, and what stands between the commas.
    List {
        open: Token<'s>,
        items: Vec<Vec<Node<'s>>>,
        close: Option<Token<'s>>,
    },
}

impl<'s> Node<'s> {
    /// The token of a comment.
    fn comment(&self) -> Option<&Token<'s>> {
        match self {
            Node::Token(token) if token.is_comment() => Some(token),
            _ => None,
        }
    }

    fn stands_on_a_line(&self) -> bool {
        match self {
            Node::Token(token) => !ends_its_line(token) && !token.text.contains('\n'),
            Node::List { items, .. } => items.iter().flatten().all(Node::stands_on_a_line),
        }
    }
}

/// Whether nothing may follow a token on its line.
fn ends_its_line(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::Hash | Kind::Multiline)
}

/// Lays tokens out, with these line ends.
pub(super) fn lay_out(tokens: &[Token<'_>], line_end: &str) -> String {
    let mut writer = Writer {
        out: String::new(),
        line_end,
        column: 0,
        at_start: true,
        must_break: false,
        depth: 0,
        last: None,
        sign: false,
        call: false,
    };
    let mut rest = writer.block(tokens);
    // a brace that closes nothing: no script that parses has one
    while let [stray, after @ ..] = rest {
        writer.line(0);
        writer.put(stray);
        rest = writer.block(after);
    }
    if !writer.out.is_empty() {
        writer.end_line();
    }
    writer.out
}

struct Writer<'t, 's> {
    out: String,
    line_end: &'t str,
    /// Characters on the line so far.
    column: usize,
    /// The line holds nothing but its indent.
    at_start: bool,
    /// Nothing may follow on this line.
    must_break: bool,
    /// Blocks that are open.
    depth: usize,
    /// What was written last.
    last: Option<Token<'s>>,
    /// That is an operator with nothing on its left.
    sign: bool,
    /// The parentheses of a function are the innermost ones.
    call: bool,
}

impl<'s> Writer<'_, 's> {
    // Commands.

    /// Writes commands up to the brace that ends them, which stays.
    fn block<'r>(&mut self, mut rest: &'r [Token<'s>]) -> &'r [Token<'s>] {
        let mut first = true;
        let mut behind_block = false;
        while let Some(token) = rest.first().filter(|t| !t.is("}")) {
            let goes_on = if token.is_comment() {
                // behind a command, or behind the brace that opens the block
                token.lines == 0 && !self.must_break && !self.out.is_empty()
            } else {
                behind_block && is_one_of(token, &["elsif", "else"])
            };
            if goes_on {
                self.text(" ");
            } else {
                let apart = token.lines > 1 && !first;
                if !self.out.is_empty() {
                    self.end_line();
                }
                if apart {
                    self.out.push_str(self.line_end);
                }
                self.indent(self.depth * INDENT);
            }
            first = false;
            if token.is_comment() {
                self.put(token);
                rest = &rest[1..];
                behind_block = false;
            } else {
                (rest, behind_block) = self.command(rest);
            }
        }
        rest
    }

    /// Writes a command; whether it ended with a block.
    fn command<'r>(&mut self, rest: &'r [Token<'s>]) -> (&'r [Token<'s>], bool) {
        let (nodes, rest) = nodes(rest, &[";", "{", "}"]);
        let indent = self.depth * INDENT;
        self.last = None;
        self.call = false;
        let end = match rest.first() {
            Some(end) if end.is("{") => " {".len(),
            Some(end) if end.is(";") => ";".len(),
            _ => 0,
        };
        self.sequence(&nodes, indent, end);
        match rest {
            [end, after @ ..] if end.is(";") => {
                self.token(end, indent);
                (after, false)
            }
            [open, after @ ..] if open.is("{") => {
                self.token(open, indent);
                self.depth += 1;
                let mut rest = self.block(after);
                self.depth = self.depth.saturating_sub(1);
                if let [close, after @ ..] = rest {
                    self.line(indent);
                    self.put(close);
                    rest = after;
                }
                (rest, true)
            }
            _ => (rest, false),
        }
    }

    // Within a command.

    /// Writes nodes: on one line if they fit, with `tail` more columns; else with their lists broken.
    fn sequence(&mut self, nodes: &[Node<'s>], indent: usize, tail: usize) {
        let whole = self.width(nodes);
        let fits = whole.is_some_and(|width| self.column + width + tail <= WIDTH);
        for (n, node) in nodes.iter().enumerate() {
            match node {
                Node::List { open, items, close } if !fits => {
                    // what follows up to the next list has to stand on the same line
                    let follows = &nodes[n + 1..];
                    let next = follows.iter().position(|f| matches!(f, Node::List { .. }));
                    let until = &follows[..next.unwrap_or(follows.len())];
                    let behind = self.width(until).unwrap_or(0) + if next.is_some() { 2 } else { tail };
                    let width = self.width(std::slice::from_ref(node));
                    if width.is_some_and(|width| self.column + width + behind <= WIDTH) {
                        self.flat(node, indent);
                    } else {
                        self.broken(open, items, close.as_ref(), indent);
                    }
                }
                node => self.flat(node, indent),
            }
        }
    }

    /// Writes a list with a line for each item.
    fn broken(
        &mut self,
        open: &Token<'s>,
        items: &[Vec<Node<'s>>],
        close: Option<&Token<'s>>,
        indent: usize,
    ) {
        let inner = indent + INDENT;
        let outer = self.open(open, indent);
        let mut item_starts = 0;
        for (n, item) in items.iter().enumerate() {
            // comments behind the comma are about the item before it
            let own = &item[item_starts..];
            self.line(inner);
            let leading = own.iter().take_while(|node| node.comment().is_some()).count();
            for comment in own[..leading].iter().filter_map(Node::comment) {
                self.token(comment, inner);
                if self.must_break {
                    self.line(inner);
                }
            }
            self.sequence(&own[leading..], inner, 1);
            item_starts = 0;
            if let Some(next) = items.get(n + 1) {
                self.token(&COMMA, inner);
                let behind = next.iter().map_while(Node::comment).take_while(|c| c.lines == 0);
                for comment in behind {
                    if self.must_break {
                        break;
                    }
                    self.text(" ");
                    self.put(comment);
                    item_starts += 1;
                }
            }
        }
        self.line(indent);
        self.call = outer;
        if let Some(close) = close {
            self.put(close);
        }
    }

    /// Writes a node on this line, but where a comment or text block ends it.
    fn flat(&mut self, node: &Node<'s>, indent: usize) {
        match node {
            Node::Token(token) => self.token(token, indent),
            Node::List { open, items, close } => {
                let outer = self.open(open, indent);
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        self.token(&COMMA, indent);
                    }
                    for node in item {
                        self.flat(node, indent);
                    }
                }
                self.call = outer;
                if let Some(close) = close {
                    self.token(close, indent);
                }
            }
        }
    }

    /// The columns that nodes take here on one line; `None` where they cannot stand on one.
    fn width(&self, nodes: &[Node<'s>]) -> Option<usize> {
        if !nodes.iter().all(Node::stands_on_a_line) {
            return None;
        }
        let mut trial = Writer {
            out: String::new(),
            column: 0,
            must_break: false,
            ..*self
        };
        for node in nodes {
            trial.flat(node, 0);
        }
        Some(trial.column)
    }

    /// Writes an opening bracket; whether the parentheses around it are those of a function.
    fn open(&mut self, open: &Token<'s>, indent: usize) -> bool {
        let before = self.last;
        self.token(open, indent);
        let named = before.is_some_and(|l| l.kind == Kind::Word && !is_one_of(&l, TAKES_TESTS));
        std::mem::replace(&mut self.call, open.is("(") && named)
    }

    // Tokens and lines.

    /// Writes a token, behind a blank where one belongs, and on the next line where it must.
    fn token(&mut self, token: &Token<'s>, indent: usize) {
        if self.must_break {
            let ends = [";", "{", ",", ")", "]"].iter().any(|mark| token.is(mark));
            self.line(if ends { indent } else { indent + INDENT });
        } else if !self.at_start && self.wants_blank(token) {
            self.text(" ");
        }
        self.put(token);
    }

    fn wants_blank(&self, token: &Token<'s>) -> bool {
        let Some(last) = &self.last else {
            return false;
        };
        let closes = [",", ";", ")", "]"].iter().any(|mark| token.is(mark));
        if last.is("(") || last.is("[") || closes || self.sign {
            return false;
        }
        if last.kind == Kind::Operator && last.text == ":" {
            // with a word it would become a tag
            return token.kind == Kind::Word;
        }
        match token.kind {
            Kind::Operator => token.text != ":",
            // the end of a range, as in `s(2:x)`
            Kind::Tag if self.call => last.is(","),
            Kind::Mark if token.is("(") => last.kind != Kind::Word || is_one_of(last, TAKES_TESTS),
            _ => true,
        }
    }

    /// Writes a token where the line stands.
    fn put(&mut self, token: &Token<'s>) {
        let value_before = self.last.is_some_and(|last| match last.kind {
            Kind::Word => !is_one_of(&last, BEFORE_VALUE),
            Kind::Mark => last.is(")") || last.is("]"),
            Kind::Tag | Kind::Number | Kind::Quoted | Kind::Multiline => true,
            Kind::Operator | Kind::Hash | Kind::Bracket => false,
        });
        let minus = token.text == "-" && !value_before;
        self.sign = token.kind == Kind::Operator && (token.text == "!" || minus);
        self.text(token.text);
        self.must_break = ends_its_line(token);
        self.last = Some(*token);
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(text);
        self.at_start = false;
        let width = |text: &str| text.chars().count();
        self.column = match text.rsplit_once('\n') {
            Some((_, end)) => width(end),
            None => self.column + width(text),
        };
    }

    fn end_line(&mut self) {
        while self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out.push_str(self.line_end);
        self.must_break = false;
    }

    fn indent(&mut self, columns: usize) {
        self.out.extend(std::iter::repeat_n(' ', columns));
        self.column = columns;
        self.at_start = true;
    }

    fn line(&mut self, columns: usize) {
        self.end_line();
        self.indent(columns);
    }
}

/// Reads nodes up to one of these marks, which stays. Nesting is bounded by the grammar.
fn nodes<'r, 's>(mut rest: &'r [Token<'s>], ends: &[&str]) -> (Vec<Node<'s>>, &'r [Token<'s>]) {
    let mut out = Vec::new();
    while let [token, after @ ..] = rest {
        if ends.iter().any(|end| token.is(end)) {
            break;
        }
        rest = after;
        if !(token.is("(") || token.is("[")) {
            out.push(Node::Token(*token));
            continue;
        }
        let mut items = Vec::new();
        let mut close = None;
        loop {
            let (item, after) = nodes(rest, &[",", ")", "]", ";", "{", "}"]);
            items.push(item);
            rest = after;
            let [end, after @ ..] = rest else { break };
            if end.is(",") {
                rest = after;
                continue;
            }
            if end.is(")") || end.is("]") {
                close = Some(*end);
                rest = after;
            }
            break;
        }
        if matches!(items.as_slice(), [only] if only.is_empty()) {
            items.clear();
        }
        out.push(Node::List {
            open: *token,
            items,
            close,
        });
    }
    (out, rest)
}
