//! Identifiers as text: `InProgress`, `in_progress`, `in-progress`.

/// How the name of a variant becomes its text.
#[derive(Clone, Copy, Default)]
pub(super) enum Case {
    #[default]
    Snake,
    Lower,
    Kebab,
    Pascal,
    ScreamingSnake,
}

impl Case {
    pub(super) const NAMES: [&str; 5] =
        ["snake_case", "lowercase", "kebab-case", "PascalCase", "SCREAMING_SNAKE_CASE"];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "snake_case" => Case::Snake,
            "lowercase" => Case::Lower,
            "kebab-case" => Case::Kebab,
            "PascalCase" => Case::Pascal,
            "SCREAMING_SNAKE_CASE" => Case::ScreamingSnake,
            _ => return None,
        })
    }

    pub(super) fn apply(self, variant: &str) -> String {
        match self {
            Case::Snake => snake(variant),
            Case::Lower => variant.to_lowercase(),
            Case::Kebab => snake(variant).replace('_', "-"),
            Case::Pascal => variant.to_owned(),
            Case::ScreamingSnake => screaming_snake(variant),
        }
    }
}

/// `HttpServer`, `HTTPServer` and `http_server` become `http_server`.
pub(super) fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut before = '_';
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let starts_word = c.is_uppercase()
            && before != '_'
            && (!before.is_uppercase() || chars.peek().is_some_and(|next| next.is_lowercase()));
        if starts_word {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
        before = c;
    }
    snake
}

pub(super) fn screaming_snake(name: &str) -> String {
    snake(name).to_uppercase()
}
