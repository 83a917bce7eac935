"""Every configuration key with its default, its unit or choices, and when it matters.

The words are TransReID's where it has one; booleans are real booleans.
"""

from yacs.config import CfgNode

_C = CfgNode()

# Where a run writes its log, metrics and checkpoints; a folder.
_C.OUTPUT_DIR = "runs/default"

_C.MODEL = CfgNode()
# auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.
_C.MODEL.DEVICE = "auto"
# The backbone; an unknown name lists the known ones.
_C.MODEL.NAME = "vit_small"
# Weights to start from, a file: a checkpoint of this toolkit or of any code base that tools/import_weights.py
# knows, such as an ImageNet, LUP or CLIP pre-training. Empty starts from random weights.
_C.MODEL.PRETRAIN_PATH = ""
# Height over width of the pre-training's patch grid, where the number of patches does not tell: 1 for
# ImageNet, 2 for a person pre-training at 256x128.
_C.MODEL.PRETRAIN_HW_RATIO = 1
# Probability that a residual branch is dropped in training; transformers only.
_C.MODEL.DROP_PATH = 0.1
# Pixels from patch to patch of a vision transformer, down and across; below the patch's 16 they overlap, as
# [12, 12]. [0, 0] takes the patch's own sides.
_C.MODEL.STRIDE_SIZE = [0, 0]
# Whether a vision transformer embeds the image's camera, and its view (side information); SIE_COE is the
# factor on the embedding, 3.0 in TransReID and 1.0 in CLIP-ReID.
_C.MODEL.SIE_CAMERA = False
_C.MODEL.SIE_VIEW = False
_C.MODEL.SIE_COE = 3.0
# Whether a vision transformer has TransReID's jigsaw branches; their parts, whether patches are rearranged
# before they are grouped, by how many tokens they are shifted, and how many groups are interleaved.
_C.MODEL.JPM = False
_C.MODEL.DEVIDE_LENGTH = 4
_C.MODEL.RE_ARRANGE = True
_C.MODEL.SHIFT_NUM = 5
_C.MODEL.SHUFFLE_GROUP = 2
# Whether a vision transformer cuts its patches from a stem of convolutions (TransReID-SSL's ICS).
_C.MODEL.STEM_CONV = False
# Whether pooling is a generalised mean: of a ResNet's last map, with a learned exponent, or of a vision
# transformer's patches, added to the class token.
_C.MODEL.GEM_POOLING = False
# Whether a linear layer reduces the feature to FEAT_DIM numbers.
_C.MODEL.REDUCE_FEAT_DIM = False
_C.MODEL.FEAT_DIM = 512
# Text features of the training identities, a file that tools/learn_prompts.py writes; CLIP backbones are then
# trained with the image-to-text loss too, of this weight (CLIP-ReID's second stage). Empty leaves it out.
_C.MODEL.TEXT_FEATURES = ""
_C.MODEL.I2T_LOSS_WEIGHT = 1.0
# Stride of a ResNet's last stage, 1 or 2; 1 keeps a feature map of 16x8 at 256x128.
_C.MODEL.LAST_STRIDE = 1
# Whether convolutions keep their channels last in memory: the same network up to rounding, and faster for
# ResNets on most CPUs and GPUs.
_C.MODEL.CHANNELS_LAST = False
# Weights of the identity and of the triplet loss; 0 leaves a loss out.
_C.MODEL.ID_LOSS_WEIGHT = 1.0
_C.MODEL.TRIPLET_LOSS_WEIGHT = 1.0
# Whether the identity loss smooths its labels by 0.1.
_C.MODEL.IF_LABELSMOOTH = False
# Whether the triplet loss is the soft margin log(1 + exp(d_ap - d_an)); False uses SOLVER.MARGIN.
_C.MODEL.NO_MARGIN = True

_C.INPUT = CfgNode()
# Height and width of training and test images, in pixels.
_C.INPUT.SIZE_TRAIN = [256, 128]
_C.INPUT.SIZE_TEST = [256, 128]
# Mean and standard deviation of the normalisation, RGB, on values in 0..1.
_C.INPUT.PIXEL_MEAN = [0.5, 0.5, 0.5]
_C.INPUT.PIXEL_STD = [0.5, 0.5, 0.5]
# Probability of a horizontal flip in training.
_C.INPUT.PROB = 0.5
# Zero padding before the random crop in training, in pixels.
_C.INPUT.PADDING = 10
# Probability of random erasing in training.
_C.INPUT.RE_PROB = 0.5
# Strength of colour jitter in training (brightness, contrast, saturation); 0 is off.
_C.INPUT.COLOR_JITTER = 0.0
# Largest change of the hue in training, as a share of the colour circle, up to 0.5.
_C.INPUT.HUE_JITTER = 0.0
# Probability that a training image loses its colours.
_C.INPUT.GRAYSCALE_PROB = 0.0
# Largest rotation in training, in degrees.
_C.INPUT.AFFINE_DEGREES = 0.0
# s, for a random scale from 1 / (1 + s) to 1 + s in training; 0 is off.
_C.INPUT.AFFINE_SCALE = 0.0

_C.DATASETS = CfgNode()
# One or several of market1501, dukemtmc, occ_duke, msmt17, cuhk03, veri, vehicleid, vehicles2cam, a CSV list
# (a path that ends in .csv), folders:PATH (a folder an identity) and mot:PATH (MOT-format video). The
# training images of several are merged, and each set is evaluated by itself.
_C.DATASETS.NAMES = ["market1501"]
# The folder that holds the data sets' own folders.
_C.DATASETS.ROOT_DIR = "datasets"
# Whether MSMT17's val list is trained on, as in the TransReID family; the other families train without.
_C.DATASETS.MSMT_USE_VAL = True
# V1 or V2 where both of MSMT17's versions are present; empty takes the one there is, V1 first.
_C.DATASETS.MSMT_VERSION = ""
# Whether Market-1501's 500k distractors, in images/, join the gallery.
_C.DATASETS.MARKET_DISTRACTORS = False
# CUHK03's boxes, labeled or detected; empty takes what is there, labeled first.
_C.DATASETS.CUHK03_BOXES = ""
# CUHK03: new (767/700 identities) or classic (20 splits of 100 test identities, single-shot galleries).
_C.DATASETS.CUHK03_PROTOCOL = "new"
# Which split of CUHK03's classic protocol, 1 to 20.
_C.DATASETS.CUHK03_SPLIT = 1
# Which of VehicleID's test lists: 800, 1600 or 2400 identities.
_C.DATASETS.VEHICLEID_TEST_SIZE = 800
# folders:PATH: seed of the queries that are drawn where there are no folders query and gallery.
_C.DATASETS.FOLDERS_SEED = 0
# mot:PATH: frames from a query to its gallery.
_C.DATASETS.MOT_GAP = 30
# mot:PATH: least visible share and least height in pixels of a box.
_C.DATASETS.MOT_MIN_VISIBILITY = 0.5
_C.DATASETS.MOT_MIN_HEIGHT = 64
# mot:PATH: the folder that keeps the crops; empty takes .crops in PATH.
_C.DATASETS.MOT_CACHE_DIR = ""

_C.DATALOADER = CfgNode()
# What decodes image files: pillow, as the field's features were made with, or opencv.
_C.DATALOADER.DECODER = "pillow"
# Images of each identity in a batch (K); SOLVER.IMS_PER_BATCH / K identities are drawn.
_C.DATALOADER.NUM_INSTANCE = 4
# Worker processes that read images; -1 takes the number of CPU cores, 8 at most.
_C.DATALOADER.NUM_WORKERS = -1
# Shared memory that keeps resized training images, in MB, all workers together; 0 keeps none. An image takes
# 3 x height x width bytes; what does not fit is read anew each epoch, and no result changes.
_C.DATALOADER.CACHE_MB = 0

_C.SOLVER = CfgNode()
# Seed of everything random in a run.
_C.SOLVER.SEED = 1234
# SGD, Adam or AdamW, for the backbone, the neck and the classifier. Adam adds the decay to the gradient.
_C.SOLVER.OPTIMIZER_NAME = "SGD"
# Peak learning rate.
_C.SOLVER.BASE_LR = 4e-4
# The bias terms' learning rate and weight decay: a factor on BASE_LR, and the decay itself.
_C.SOLVER.BIAS_LR_FACTOR = 2.0
_C.SOLVER.WEIGHT_DECAY_BIAS = 1e-4
# Whether classifiers have twice BASE_LR.
_C.SOLVER.LARGE_FC_LR = False
# Weight decay of everything else: position embeddings, class tokens and norms too.
_C.SOLVER.WEIGHT_DECAY = 1e-4
# Momentum of SGD.
_C.SOLVER.MOMENTUM = 0.9
# Margin of the triplet loss where MODEL.NO_MARGIN is False.
_C.SOLVER.MARGIN = 0.3
# Images a batch.
_C.SOLVER.IMS_PER_BATCH = 64
# Epochs of baseline training; 0 goes straight to DENOISE, from MODEL.PRETRAIN_PATH.
_C.SOLVER.MAX_EPOCHS = 120
# How the learning rate changes over a stage. cosine: from the peak down to 0.2 % of BASE_LR, and up from 1 %
# of it in the warm-up, both the same for all parameters. multistep: times GAMMA in each epoch of STEPS. The
# denoising stage has the same course over its own epochs and rates, without warm-up.
_C.SOLVER.SCHEDULE = "cosine"
# When it changes: epoch_start (TransReID, CLIP-ReID), or epoch_end (TransReID-SSL, DenoiseRep's authors),
# where every epoch runs at the rate that epoch_start gives the one before.
_C.SOLVER.STEP_AT = "epoch_start"
# Epochs of the baseline in which the learning rate rises linearly.
_C.SOLVER.WARMUP_EPOCHS = 20
# multistep: the epochs, counted from the stage's first, in which the rate falls, and the factor on it.
_C.SOLVER.STEPS = [40, 70]
_C.SOLVER.GAMMA = 0.1
# multistep: the share of the peak that the warm-up rises from.
_C.SOLVER.WARMUP_FACTOR = 0.1
# Batches whose gradients are added up for a step; each has triplets of its own. With several processes a
# batch is shared among them.
_C.SOLVER.ACCUMULATE = 1
# Whether each block of the backbone keeps its input alone and is computed again in the backward pass: the
# same training in less memory and more time. Label-free epochs keep nothing anyway.
_C.SOLVER.GRAD_CHECKPOINTING = False
# Whether BatchNorms of the backbone count the images of all processes; GPUs only. Necks always do.
_C.SOLVER.SYNC_BATCHNORM = False
# Largest norm of the gradient; 0 does not clip.
_C.SOLVER.CLIP_NORM = 0.0
# Whether a GPU computes in float16 with loss scaling; on a CPU everything is float32.
_C.SOLVER.AMP = True
# Epochs between evaluations, and between checkpoints; the last epoch always has both.
_C.SOLVER.EVAL_PERIOD = 120
_C.SOLVER.CHECKPOINT_PERIOD = 10
# Whether losses and metrics are also written as TensorBoard events, into tensorboard/ of OUTPUT_DIR.
_C.SOLVER.TENSORBOARD = True

_C.DENOISE = CfgNode()
# none, label_free (backbone frozen, no labels), alternating (with labels, DENOISE.PERIOD epochs each) or
# joint (with labels, everything trained in every epoch).
_C.DENOISE.MODE = "none"
# label_free: whether the denoisers are solved, as the optimum of the l2 loss, in one pass over the training
# images; False trains them by gradient for MAX_EPOCHS. Modes with labels do not read it.
_C.DENOISE.CLOSED_FORM = True
# Which layers: mlp, attn, conv, all, or regular expressions for whole layer names; or feature, which denoises
# the final feature alone and is never fused (DenoiseRep-).
_C.DENOISE.TARGETS = ["mlp"]
# Reverse steps a layer.
_C.DENOISE.STEPS = 1
# Where a layer's steps begin. depth: t falls from N to 1 over the N layers (the paper); spread: it falls
# evenly from TIMESTEPS; a whole number: every layer begins at that t.
_C.DENOISE.T_RULE = "depth"
# How much of the denoising is applied, in 0..1: X'' = (1 - STRENGTH) X + STRENGTH X'. The paper has 1.
_C.DENOISE.STRENGTH = 1.0
# The noise schedule: number of diffusion steps, first and last beta.
_C.DENOISE.TIMESTEPS = 1000
_C.DENOISE.BETA_START = 1e-4
_C.DENOISE.BETA_END = 2e-3
# Whether a reverse step keeps the factor 1/sqrt(a_t) of the paper's Eq. 5; False follows Eq. 7 as printed.
_C.DENOISE.RESCALE = True
# The denoising loss: l2 (Algorithm 1; the noise is integrated out, not drawn), l1 (Eq. 11) or l1+l2 (the
# authors' code).
_C.DENOISE.LOSS = "l2"
# The share of each layer's tokens or cells, drawn anew at every step, on which that loss is computed; above
# 0, at most 1. An eighth halves the cost of a label-free step.
_C.DENOISE.TOKEN_SHARE = 1.0
# lambda in (1 - lambda) L_label + lambda L_denoise, Eq. 12; in [0, 1], in modes with labels.
_C.DENOISE.LAMBDA = 0.5
# Epochs of denoising after the baseline epochs; the closed form has one.
_C.DENOISE.MAX_EPOCHS = 120
# Alternating mode: epochs of each phase in turn, and which begins, denoisers or backbone.
_C.DENOISE.PERIOD = 10
_C.DENOISE.FIRST = "denoisers"
# SGD, Adam or AdamW for the denoisers, and their peak learning rate. They have no weight decay.
_C.DENOISE.OPTIMIZER_NAME = "AdamW"
_C.DENOISE.BASE_LR = 4e-4
# Modes with labels: peak learning rate of the backbone, with SOLVER's optimizer.
_C.DENOISE.BACKBONE_LR = 1e-4

_C.ADAPT = CfgNode()
# Adaptation to a site's cameras without labels, by tools/adapt.py: what is paired. cameras: neighbours that
# another camera took; tracklets: images of one tracklet, which the pid column numbers; neighbours: of any
# camera, where there are no camera numbers.
_C.ADAPT.PAIRS = "cameras"
# Whether camera noise is denoised: on, off, or auto, where more ways lead back across cameras.
_C.ADAPT.NOISE = "auto"
# Neighbours an image may be paired with; 0 chooses without labels.
_C.ADAPT.K = 0
# The share r of the noise's mean variance that is added in every direction, from 0.001; 0 chooses.
_C.ADAPT.SHRINKAGE = 0.0
# What is subtracted: one mean, one a camera, or auto, which chooses.
_C.ADAPT.MEANS = "auto"
# Whether BatchNorm statistics are re-estimated first: on, off, or auto, where more ways lead back.
_C.ADAPT.BATCHNORM = "auto"
# Whether the denoising folds into the network's layers where there is a place for it.
_C.ADAPT.FOLD = True

_C.TEST = CfgNode()
# The checkpoint that tools/test.py evaluates where --weights is not given; a file.
_C.TEST.WEIGHT = ""
# Images a batch.
_C.TEST.IMS_PER_BATCH = 128
# Which feature is compared: before or after the BNNeck.
_C.TEST.NECK_FEAT = "before"
# cosine or euclidean.
_C.TEST.METRIC = "cosine"
# Number format that tools/test.py computes features in: float32, bfloat16 or float16.
_C.TEST.DTYPE = "float32"
# Whether tools/test.py compiles the networks by torch.compile: minutes first, then faster.
_C.TEST.COMPILE = False
# Whether features are the mean over an image and its mirror image, in twice the time.
_C.TEST.FLIP = False
# What ranks the gallery, exactly: torch, or faiss (on the GPU of MODEL.DEVICE, several share the gallery).
_C.TEST.BACKEND = "torch"
# Whether rankings are re-ranked by k-reciprocal neighbours; by the torch backend alone.
_C.TEST.RE_RANKING = False
# Its neighbours k1 and k2, and the weight of the original distance, in [0, 1].
_C.TEST.RERANK_K1 = 20
_C.TEST.RERANK_K2 = 6
_C.TEST.RERANK_LAMBDA = 0.3


def get_default_config() -> CfgNode:
    """A new copy of the defaults; changing it changes nothing else."""
    return _C.clone()
