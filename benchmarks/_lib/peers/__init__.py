"""The parts of benchmarks.peers: systems in processes of their own, frames, figures and the page."""
