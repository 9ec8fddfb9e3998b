// The ops of every kind. The number of an op is its position in its list, and TypeScript asks the library for the names when it loads it.
// Elementwise ops are lines in the .inc files beside this one: NAME(op, domain, expression).
#pragma once

#define CASTOR_REDUCE(X) \
  X(sum) X(mean) X(prod) X(max) X(min) X(argmax) X(argmin) X(any) X(all) X(norm) X(var) X(std) X(logSumExp) X(countNonzero)
#define CASTOR_SCAN(X) X(cumsum) X(cumprod)
#define CASTOR_SOFTMAX(X) X(softmax) X(logSoftmax)
#define CASTOR_NORM(X) X(layerNorm) X(rmsNorm)
#define CASTOR_BATCH_GROUP_NORM(X) X(batchNorm) X(batchNormEval) X(groupNorm)
#define CASTOR_GATHER(X) X(gather) X(indexSelect)
#define CASTOR_SCATTER(X) X(scatter) X(scatterAdd) X(indexCopy) X(indexAdd)
#define CASTOR_ACTIVATION(X) X(none) X(relu) X(gelu) X(geluTanh)
#define CASTOR_CONVOLUTION(X) X(forward) X(inputGrad) X(weightGrad)
#define CASTOR_POOL(X) X(max) X(avg)
#define CASTOR_RANDOM(X) X(uniform) X(normal) X(bernoulli) X(exponential) X(randint)
#define CASTOR_EXPECT(X) X(weights) X(enoughWeights)

namespace castor {

#define CASTOR_ENUMERATOR(name) name,
enum class Reduce { CASTOR_REDUCE(CASTOR_ENUMERATOR) };
enum class Scan { CASTOR_SCAN(CASTOR_ENUMERATOR) };
enum class Softmax { CASTOR_SOFTMAX(CASTOR_ENUMERATOR) };
enum class Norm { CASTOR_NORM(CASTOR_ENUMERATOR) };
enum class BatchGroupNorm { CASTOR_BATCH_GROUP_NORM(CASTOR_ENUMERATOR) };
enum class Gather { CASTOR_GATHER(CASTOR_ENUMERATOR) };
enum class Scatter { CASTOR_SCATTER(CASTOR_ENUMERATOR) };
enum class Activation { CASTOR_ACTIVATION(CASTOR_ENUMERATOR) };
enum class Convolution { CASTOR_CONVOLUTION(CASTOR_ENUMERATOR) };
enum class Pool { CASTOR_POOL(CASTOR_ENUMERATOR) };
enum class Random { CASTOR_RANDOM(CASTOR_ENUMERATOR) };
enum class Expect { CASTOR_EXPECT(CASTOR_ENUMERATOR) };
#undef CASTOR_ENUMERATOR

// Values for which an op is not defined. A kernel finds them when it reads its inputs.
enum class Defect { zero_divisor, negative_power, bad_weights, few_weights };
constexpr Defect defect_of(Expect op) { return op == Expect::weights ? Defect::bad_weights : Defect::few_weights; }

// Each message says what is wrong and, after the full stop, what the caller can do.
constexpr const char *text_of(Defect defect) {
  switch (defect) {
    case Defect::zero_divisor:
      return "an integer is divided by 0. Convert an operand to a float dtype, where the result is infinite or NaN";
    case Defect::negative_power:
      return "an integer is raised to a negative power. Convert an operand to a float dtype, which holds the fractions that this gives";
    case Defect::bad_weights: return "a row of weights holds a number that is negative, NaN or infinite. Weights are finite and at least 0";
    case Defect::few_weights:
      return "a row has fewer weights above 0 than samples are drawn from it. Draw fewer, or with replacement, which needs one weight "
             "above 0";
  }
  return "";
}

}  // namespace castor
