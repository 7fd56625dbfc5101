//! Parsed mapping tables to instructions.

use std::collections::HashMap;

use grammar::mapping::{Element, MappingFile, Part, PartKind};
use grammar::{Diagnostic, Span};

use super::{Call, Code, Entry, Op, Table};
use crate::pattern::Pattern;
use crate::pattern_set::PatternSet;
use crate::program::TableId;
use crate::spelling::suggest;

/// Compiles the tables of a file. Calls of tables that do not exist are reported: the entry would fail
/// each time it matches.
pub fn compile(
    file: &MappingFile,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Vec<Table>, HashMap<String, TableId>) {
    let names: HashMap<String, TableId> = file
        .tables
        .iter()
        .enumerate()
        .map(|(n, t)| (t.name.to_ascii_uppercase(), TableId(n as u32)))
        .collect();
    let tables = file
        .tables
        .iter()
        .map(|t| compile_table(t, &names, diagnostics))
        .collect();
    (tables, names)
}

fn compile_table(
    table: &grammar::mapping::Table,
    names: &HashMap<String, TableId>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Table {
    let mut code = Code::default();
    let mut entries = Vec::with_capacity(table.entries.len());
    let mut patterns = Vec::with_capacity(table.entries.len());
    for entry in &table.entries {
        let fields = entry.pattern.iter().filter(|e: &&Element| e.saves()).count();
        let start = code.ops.len() as u32;
        let mut compiler = Compiler {
            code: &mut code,
            names,
            fields: Some(fields),
            diagnostics: &mut *diagnostics,
        };
        compiler.parts(&entry.template);
        compiler.push(Op::End, entry.span);
        patterns.push(Pattern::new(&entry.pattern));
        entries.push(Entry {
            start,
            span: entry.span,
            pattern_text: entry.pattern_text.as_str().into(),
            template_text: entry.template_text.as_str().into(),
        });
    }
    let compiled = Table {
        name: table.name.clone(),
        span: table.span,
        patterns: PatternSet::new(patterns),
        entries,
        code,
    };
    let elements: Vec<&[Element]> = table.entries.iter().map(|e| e.pattern.as_slice()).collect();
    super::lint::shadowed(&compiled, &elements, diagnostics);
    compiled
}

/// Compiles a text that came from a routine or a database, to be scanned as a template. Blanks in it
/// are ordinary text. What is wrong with it is left out and reported.
pub(super) fn compile_text(text: &str, names: &HashMap<String, TableId>) -> (Code, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let at = |_: std::ops::Range<usize>| Span::default();
    let parts = grammar::mapping::parse_template(text, &at, &mut diagnostics);
    let mut code = Code::default();
    let mut compiler = Compiler {
        code: &mut code,
        names,
        fields: None,
        diagnostics: &mut diagnostics,
    };
    compiler.parts(&parts);
    compiler.push(Op::End, Span::default());
    (code, diagnostics)
}

struct Compiler<'a> {
    code: &'a mut Code,
    names: &'a HashMap<String, TableId>,
    /// Fields of the entry's pattern; unknown for text made at run time.
    fields: Option<usize>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Compiler<'_> {
    fn push(&mut self, op: Op, span: Span) {
        self.code.ops.push(op);
        self.code.spans.push(span);
    }

    fn parts(&mut self, parts: &[Part]) {
        for (n, part) in parts.iter().enumerate() {
            let span = part.span;
            match &part.kind {
                PartKind::Text(text) => self.push(Op::Text(text.as_str().into()), span),
                PartKind::Field(n) => {
                    if self.fields.is_some_and(|f| *n as usize >= f) {
                        let fields = self.fields.unwrap_or(0);
                        self.diagnostics.push(
                            Diagnostic::warning(
                                "M010",
                                span,
                                format!("field {n} does not exist; it is always empty"),
                            )
                            .label(format!("the pattern saves {fields} field(s), numbered from 0"))
                            .help("count the wildcards of the pattern from the left, starting with 0"),
                        );
                    }
                    self.push(Op::Field(*n), span);
                }
                PartKind::Case(case) => self.push(Op::Case(*case), span),
                PartKind::QuoteLdap => self.push(Op::QuoteLdap, span),
                PartKind::Test { flag, set } => self.push(
                    Op::Test {
                        flag: *flag,
                        set: *set,
                    },
                    span,
                ),
                PartKind::Random(p) => self.push(Op::Random(*p), span),
                PartKind::Temporary(text) => {
                    self.push(Op::Temporary(text.as_deref().map(Box::from)), span);
                }
                PartKind::Control(c) => self.push(Op::Control(*c), span),
                PartKind::Stop => {
                    self.push(Op::Stop, span);
                    if let Some(dead) = parts.get(n + 1)
                        && self.fields.is_some()
                    {
                        self.diagnostics.push(
                            Diagnostic::warning("M015", dead.span, "this is never reached")
                                .also(span, "the template stops here")
                                .help("put `$+1E` at the end, or leave it out"),
                        );
                    }
                }
                PartKind::Flag(c) => self.push(Op::Flag(*c), span),
                PartKind::Table { name, argument } => {
                    let table = self.names.get(&name.to_ascii_uppercase()).copied();
                    if table.is_none() && self.fields.is_some() {
                        let near = suggest(self.diagnostics.len(), name, self.names.keys());
                        let mut d = Diagnostic::warning(
                            "M011",
                            span,
                            format!("there is no table `{name}`: this entry fails whenever it matches"),
                        );
                        d = match near {
                            Some(near) => d.help(format!("did you mean `{near}`?")),
                            None => d.help("define the table in this file"),
                        };
                        self.diagnostics.push(d);
                    }
                    self.call(
                        Call::Table {
                            name: name.as_str().into(),
                            table,
                        },
                        argument,
                        span,
                    );
                }
                PartKind::General(argument) => self.call(Call::General, argument, span),
                PartKind::Url(argument) => self.call(Call::Url, argument, span),
                PartKind::Attribute(argument) => self.call(Call::Attribute, argument, span),
                PartKind::Routine {
                    image,
                    routine,
                    argument,
                } => {
                    let call = Call::Routine {
                        image: image_name(image).into(),
                        routine: routine.as_str().into(),
                    };
                    self.call(call, argument, span);
                }
                PartKind::Sequence { file, format } => {
                    self.call(
                        Call::Sequence {
                            file: file.as_str().into(),
                            format: *format,
                        },
                        &[],
                        span,
                    );
                }
            }
        }
    }

    fn call(&mut self, call: Call, argument: &[Part], span: Span) {
        self.push(Op::Argument, span);
        self.parts(argument);
        self.push(Op::Call(call), span);
    }
}

/// The image of a routine without its directory or logical prefix.
fn image_name(image: &str) -> &str {
    image.rsplit(['/', ':']).next().unwrap_or(image)
}
