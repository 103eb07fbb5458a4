//! Bundles that are not what a store wrote.
