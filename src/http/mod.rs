//! HTTP/1.1 by hand, without sockets.
