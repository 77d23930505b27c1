"""What benchmarks.peers consists of: systems in processes of their own, frames, figures and the page."""
