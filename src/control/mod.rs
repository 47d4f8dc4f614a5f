//! One ordinary thread for what may block: files, log writing.
