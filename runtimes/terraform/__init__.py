"""Stacks: a Terraform module tree planned, approved and applied by `tofu` or `terraform`."""
