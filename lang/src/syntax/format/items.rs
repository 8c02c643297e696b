//! Owns how items and probe points are laid out. A point has no space in it: one would end its path.

use super::writer::{Gap, Writer};
use crate::syntax::ast::{
    Argument, Function, GlobalDeclaration, Item, ItemKind, Narrow, Point, PointKind, Probe, Str, What, Where, Who,
    WhoKind,
};

impl Writer<'_> {
    pub(super) fn item(&mut self, item: &Item) {
        match &item.kind {
            ItemKind::Probe(probe) => self.probe(probe),
            ItemKind::Global(declarations) => self.globals(declarations),
            ItemKind::Const { name, value } => {
                self.token(Gap::None, "const");
                self.verbatim(Gap::Space, name.span);
                self.token(Gap::Space, "=");
                self.value(value, false);
            }
            ItemKind::Function(function) => self.function(function),
            ItemKind::Import(path) => {
                self.token(Gap::None, "import");
                self.verbatim(Gap::Space, path.span);
            }
            ItemKind::Broken => self.verbatim(Gap::None, item.span),
        }
    }

    fn probe(&mut self, probe: &Probe) {
        self.token(Gap::None, "probe");
        self.gap(Gap::Space);
        self.group(|writer| {
            for (index, point) in probe.points.iter().enumerate() {
                if index == 0 {
                    writer.point(point);
                } else {
                    writer.token(Gap::None, ",");
                    writer.indent(|writer| {
                        writer.gap(Gap::Line);
                        writer.point(point);
                    });
                }
            }
            if let Some(condition) = &probe.condition {
                writer.indent(|writer| {
                    writer.token(Gap::Line, "if");
                    writer.condition(condition);
                });
            }
        });
        if let Some(body) = &probe.body {
            self.gap(Gap::Space);
            self.block(body);
        }
    }

    fn point(&mut self, point: &Point) {
        match &point.kind {
            PointKind::Begin => self.token(Gap::None, "begin"),
            PointKind::End => self.token(Gap::None, "end"),
            PointKind::Every(period) => {
                self.token(Gap::None, "every");
                self.arguments("(", std::slice::from_ref(period), ")");
            }
            PointKind::Site { who, place, what } => {
                self.who(who);
                if self.sees(":") {
                    self.token(Gap::None, ":");
                }
                match place {
                    Some(Where::Path { path, quoted: _ }) => self.verbatim(Gap::None, path.span),
                    Some(Where::Exe(span)) => self.verbatim(Gap::None, *span),
                    Some(Where::Lib { name, span: _ }) => {
                        self.token(Gap::None, "lib");
                        self.texts(&[name]);
                    }
                    None => {}
                }
                self.what(what);
            }
        }
        if point.optional {
            self.token(Gap::None, "?");
        }
    }

    fn who(&mut self, who: &Who) {
        self.token(Gap::None, who.kind.as_str());
        if who.kind == WhoKind::Host {
            return;
        }
        self.list("(", &who.arguments, ")", false, |writer, Argument { name, value }| {
            if let Some(name) = name {
                writer.verbatim(Gap::None, name.span);
                writer.token(Gap::None, "=");
                writer.gap(Gap::None);
            }
            writer.expr(value, true);
        });
    }

    fn what(&mut self, what: &What) {
        match what {
            What::Fn { name, narrow, returns, span: _ } => {
                self.token(Gap::None, ".fn");
                self.texts(&[name]);
                match narrow {
                    Some(Narrow::Call) => self.token(Gap::None, ".call"),
                    Some(Narrow::Inline) => self.token(Gap::None, ".inline"),
                    None => {}
                }
                if *returns {
                    self.token(Gap::None, ".return");
                }
            }
            What::Line(line) => {
                self.token(Gap::None, ".line");
                self.texts(&[line]);
            }
            What::Mark { provider, name } => {
                self.token(Gap::None, ".mark");
                match provider {
                    Some(provider) => self.texts(&[provider, name]),
                    None => self.texts(&[name]),
                }
            }
            What::Addr(address) => {
                self.token(Gap::None, ".addr");
                self.arguments("(", std::slice::from_ref(address), ")");
            }
            What::Nothing => {}
        }
    }

    /// Strings in parentheses, which no line ends in: a name is read as a whole.
    fn texts(&mut self, texts: &[&Str]) {
        self.token(Gap::None, "(");
        for (index, text) in texts.iter().enumerate() {
            if index > 0 {
                self.token(Gap::None, ",");
            }
            self.verbatim(if index > 0 { Gap::Space } else { Gap::None }, text.span);
        }
        self.token(Gap::None, ")");
    }

    fn globals(&mut self, declarations: &[GlobalDeclaration]) {
        self.token(Gap::None, "global");
        self.group(|writer| {
            writer.indent(|writer| {
                let mut gap = Gap::Space;
                for GlobalDeclaration { name, size, value } in declarations {
                    if gap == Gap::Fill {
                        writer.token(Gap::None, ",");
                    }
                    writer.gap(gap);
                    writer.group(|writer| {
                        writer.verbatim(Gap::None, name.span);
                        if let Some(size) = size {
                            writer.arguments("[", std::slice::from_ref(size), "]");
                        }
                        if let Some(value) = value {
                            writer.token(Gap::Space, "=");
                            writer.gap(Gap::Space);
                            writer.expr(value, false);
                        }
                    });
                    gap = Gap::Fill;
                }
            });
        });
    }

    fn function(&mut self, function: &Function) {
        self.token(Gap::None, "fn");
        self.verbatim(Gap::Space, function.name.span);
        self.list("(", &function.parameters, ")", false, |writer, (name, type_name)| {
            writer.verbatim(Gap::None, name.span);
            writer.token(Gap::None, ":");
            writer.verbatim(Gap::Space, type_name.span);
        });
        if let Some(returns) = &function.returns {
            self.token(Gap::Space, "->");
            self.verbatim(Gap::Space, returns.span);
        }
        self.gap(Gap::Space);
        self.block(&function.body);
    }
}
