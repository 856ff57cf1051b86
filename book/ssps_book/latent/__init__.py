"""A latent-space model: which corpora bootstrap, without audio and in seconds (book chapter 13).

A representation is the sum of three independent Gaussian components in subspaces of their own,

    y = normalize(speaker + recording + utterance),

and the encoder is the energy that it gives to each dimension. Our samplers run on these rows as on
real ones, so that the accuracy of their pseudo-positives (Figure 4), the EER and the balance of
speaker and recording information (Figure 7) follow from a few proportions of the corpus.

What it leaves out: real voices share directions with their channels, an encoder is not linear, and
batches are finite. It tells where SSPS can start and which way it goes, not the EER where it ends.
"""

from ssps_book.latent.corpus import VOXCELEB2, LatentCorpus
from ssps_book.latent.dynamics import bootstrap
from ssps_book.latent.published import load_voxceleb2, published_grid, voxceleb2
from ssps_book.latent.space import Space, model_eer, predict
from ssps_book.latent.sweeps import calibrate, sweep
