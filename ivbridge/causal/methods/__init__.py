"""One causal method a file."""
