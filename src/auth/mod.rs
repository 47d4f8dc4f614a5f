//! Tokens: who may publish.
