"""Guards against fooling oneself: splits without leakage, overfitting, confidence intervals."""
