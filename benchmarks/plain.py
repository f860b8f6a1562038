"""The models as their papers have them run: one encoding per pair, every text padded to the published length, textbook layers. For comparison.

Maxima and normalisation are over what is not padding, as in the package, so that both learn and predict the same.
"""
import numpy as np
import torch
import torch.nn.functional as F

from isaac.models import TAPB, DeepConvDTI, DeepDTA
from isaac.models.deepconv import morgan
from isaac.models.encoders import PROTEIN, SMILES
from isaac.models.tapb import SMILES_TOKENS, rotary, rotate, tokenize_smiles


def padded(tokens, width: int, table: torch.Tensor) -> torch.Tensor: # shape (texts, width, embedding)
    "Vectors of texts padded to one width; a pad is a token whose vector is zero."
    return F.embedding(tokens.batch(np.arange(len(tokens.lengths)), width), F.pad(table, (0, 0, 0, 1)))


def padding(lengths: np.ndarray, width: int) -> torch.Tensor: # bool, shape (pairs, width)
    "Which places are no part of a pair's text."
    return torch.arange(width) >= torch.from_numpy(lengths)[:, None]


def maximum(h: torch.Tensor, real: np.ndarray) -> torch.Tensor: # h: (pairs, filters, places); real: places that a pair has
    "Of the real places."
    return h.masked_fill(padding(real, h.shape[2])[:, None], -torch.inf).amax(2)


def plain_deepdta(model: DeepDTA, smiles: list[str], sequences: list[str]) -> torch.Tensor:
    "Three convolutions over 100 characters and 1,200 residues."
    codes = []
    for tower, charset, texts, width in ((model.drug_tower, SMILES, smiles, 100), (model.target_tower, PROTEIN, sequences, 1_200)):
        tokens = charset.tokenize(texts, width)
        h = padded(tokens, width, tower.embedding.weight).transpose(1, 2)
        for convolution in tower.convolutions: h = torch.relu(convolution(h))
        codes.append(maximum(h, np.maximum(tokens.lengths - tower.receptive_field + 1, 1)))
    return model.output(*codes)


def plain_deepconv(model: DeepConvDTI, smiles: list[str], sequences: list[str]) -> torch.Tensor:
    "Five convolutions over 2,500 residues, normalisation and ELU everywhere."
    tower, width = model.target_tower, 2_500
    tokens = PROTEIN.tokenize(sequences, width)
    vectors = padded(tokens, width, tower.embedding.weight).transpose(1, 2)
    vectors = vectors * F.dropout(torch.ones(len(vectors), vectors.shape[1], 1), tower.dropout, model.training)
    real, parts = ~padding(tokens.lengths, width)[:, :, None], []
    for convolution, norm in zip(tower.convolutions, tower.norms, strict=True):
        k = convolution.kernel_size[0]
        h = convolution(F.pad(vectors, ((k - 1) // 2, k - 1 - (k - 1) // 2))).transpose(1, 2)
        normal = torch.zeros_like(h).masked_scatter(real, F.elu(norm(h[real[:, :, 0]])))
        parts.append(maximum(normal.transpose(1, 2), tokens.lengths))
    drugs = model.drug_tower(torch.from_numpy(morgan(smiles, model.radius, model.bits)))
    return model.output(drugs, model.target_dense(torch.cat(parts, 1)))


def masked_attention(layer, x: torch.Tensor, memory: torch.Tensor, real: torch.Tensor, turn: torch.Tensor | None = None) -> torch.Tensor:
    "Attention of padded texts; `real` says which keys are there, shape (pairs, keys)."
    q, (k, v) = layer.query(x).unflatten(2, (layer.heads, -1)), layer.key_value(memory).unflatten(2, (2, layer.heads, -1)).unbind(2)
    if turn is not None: q, k = (rotate(t.flatten(0, 1), turn.repeat(len(t), 1)).view_as(t) for t in (q, k))
    y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), real[:, None, None])
    return layer.out(y.transpose(1, 2).flatten(2))


def plain_encoder(model: TAPB, tokens, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: # states, which are real
    "The drug encoder over texts padded to the longest of the batch."
    real = ~padding(tokens.lengths, matrix.shape[1])
    x, turn = model.embedding(matrix), rotary(np.array([matrix.shape[1]]), model.embedding.embedding_dim // model.encoder[0].own.heads, "cpu")
    for layer in model.encoder:
        x = layer.digest(layer.own_norm(x + layer.dropout(masked_attention(layer.own, x, x, real, turn))))
    return x, real


def plain_tapb(model: TAPB, smiles: list[str], sequences: list[str]) -> torch.Tensor:
    "Every pair's drug queries its target, padded to 2,000 residues, of which training keeps the same random 30 % of places for the batch."
    tokens, width = tokenize_smiles(smiles), 2_000
    x, real = plain_encoder(model, tokens, tokens.batch(np.arange(len(smiles))).clamp(max=len(SMILES_TOKENS)))
    residues, targets = model.residues, PROTEIN.tokenize(sequences, width)
    kept = torch.randperm(width)[:round(width * (1 - model.dropped_residues))].sort().values if model.training else torch.arange(width)
    vectors = F.pad(padded(targets, width, residues.embedding.weight[:-1]), (0, 0, residues.window // 2, residues.window // 2))
    h = residues.convolution(vectors.unfold(1, residues.window, 1).transpose(2, 3).flatten(2))
    whole = residues.whole(maximum(h.transpose(1, 2), targets.lengths))
    memory = residues.norm(h + residues.dense(F.gelu(h)) + whole[:, None])[:, kept]
    there = kept < torch.from_numpy(targets.lengths)[:, None]
    there[:, 0] |= ~there.any(1)
    for layer in model.decoder:
        x = layer.own_norm(x + layer.dropout(masked_attention(layer.own, x, x, real)))
        x = layer.cross_norm(x + layer.dropout(masked_attention(layer.cross, x, memory, there)))
        x = layer.digest(x)
    f = (x * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
    return model.classifier(model.adjust(f))[:, 0] * model.output_sd + model.output_mean


# Architecture, its plain forward pass, and batches of the published size.
MODELS = {"deepdta": (DeepDTA, plain_deepdta, 256), "deepconv": (DeepConvDTI, plain_deepconv, 32), "tapb": (TAPB, plain_tapb, 60)}
