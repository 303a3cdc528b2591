namespace RaftKit.Node.Levels;

/// <summary>
/// A level was surely not finalised: somebody does not support it, or is not there to be asked, or a higher one is finalised. The message
/// names each member, what it supports and what to do. Nothing was changed.
/// </summary>
public sealed class FeatureLevelRefusedException(string message) : Exception(message);

/// <summary>
/// The cluster has finalised a level that this process does not support (or it supports only later ones): it takes no part, so that nothing
/// of a newer form reaches code that does not know it. The node stops before the entry; nothing is lost, and a build that supports the
/// level goes on from there in the same directory. The host process lives on, and its health says this.
/// </summary>
public sealed class FeatureLevelUnsupportedException : Exception
{
    internal FeatureLevelUnsupportedException(string message)
        : base(message)
    {
    }

    internal static FeatureLevelUnsupportedException At(string where, object index, string feature, int level, FeatureRange supported) =>
        new(
        $"{where} {index} is at level {level} of {feature}, and this process supports levels {supported} of it. It stops before that; nothing is lost. "
        + $"Start a build that supports level {level} in the same directory.");
}
