"""Servicers: they translate, call one plain function, and translate back."""
