//! Each way in which a bundle is refused, by its typed error, with nothing changed.
